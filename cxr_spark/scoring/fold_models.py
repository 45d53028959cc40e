"""The models that a folder stands for: itself, or those of all folds of a cross-validation. No Spark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cxr_spark.errors import DataError
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.models.metadata_file import METADATA_NAME, load_metadata
from cxr_spark.outputs.claim import DONE_NAME
from cxr_spark.outputs.names import CROSS_VALIDATION_NAME, FOLD
from cxr_spark.storage.store import NotJsonError, Store


class NamedModel(NamedTuple):
    """A model folder that is to score.

    Attributes:
        uri: its full URI.
        fold: the name of its fold; None where it is no model of a cross-validation.
        model_id: the `model_id` that the summary of the cross-validation tells; None where it tells none.
    """

    uri: str
    fold: str | None = None
    model_id: str | None = None


def models_in(uri: str) -> list[NamedModel]:
    """Returns the model folders that a URI stands for: those of all folds of a cross-validation, else itself alone.

    Which folds there are says the summary of the cross-validation. Other folders, such as those of an earlier one with
    more folds, take no part. The model folders themselves are not read.

    Raises:
        DataError: the summary is damaged.
        RunError: the summary cannot be read.
    """
    store = Store(uri)
    try:
        summary = store.read_json(CROSS_VALIDATION_NAME)
    except (FileNotFoundError, NotADirectoryError):
        return [NamedModel(uri)]
    except NotJsonError as error:
        raise DataError(str(error)) from None
    told = summary.get("folds") if isinstance(summary, dict) else None
    names = [FOLD.format(number=number) for number in range(1, 1 + len(told))] if isinstance(told, dict) else []
    if not isinstance(told, dict) or not told or set(told) != set(names):
        raise DataError(
            f"{store.uri_of(CROSS_VALIDATION_NAME)} is no summary of a cross-validation: expected its folds, "
            f"{FOLD.format(number=1)} and so on; name the model of each fold by --model"
        )
    return [NamedModel(store.uri_of(f"{name}/model"), name, _model_id(told[name])) for name in names]


def load_models(uri: str) -> list[tuple[str, ModelMetadata]]:
    """Reads the metadata of the models that a URI stands for, see `models_in`.

    Returns:
        The full URI of each model folder, with its metadata.

    Raises:
        DataError: a folder holds no model or a damaged one, the summary of a cross-validation is damaged, or the model
            of a fold is gone or another than the summary tells.
        RunError: a folder cannot be read.
    """
    folders = models_in(uri)
    try:
        found = [load_metadata(Store(folder.uri)) for folder in folders]
    except DataError:
        _check_there(uri, folders)
        raise
    for (model, fold, expected), metadata in zip(folders, found, strict=True):
        if fold is not None and expected is not None and metadata.model_id != expected:
            raise DataError(
                f"{model} holds the model {metadata.model_id[:12]}, and {CROSS_VALIDATION_NAME} tells of "
                f"{expected[:12]}: the fold was trained again by itself, or a longer training was stopped; put the "
                f"model back, {_remedy([fold])}"
            )
    return [(folder.uri, metadata) for folder, metadata in zip(folders, found, strict=True)]


def _model_id(told: object) -> str | None:
    found = told.get("model_id") if isinstance(told, dict) else None
    return found if isinstance(found, str) else None


def _check_there(uri: str, folders: Sequence[NamedModel]) -> None:
    """Raises DataError if models of folds are gone, and names all of them."""
    gone = {fold: model for model, fold, _ in folders if fold and not Store(model).exists(METADATA_NAME)}
    if gone:
        names = list(gone)
        raise DataError(
            f"{uri} is a cross-validation of {len(folders)} folds, and the model of {', '.join(names[:20])} is gone "
            f"(expected {gone[names[0]]}/{METADATA_NAME}): put it back, {_remedy(names)}"
        ) from None


def _remedy(names: Sequence[str]) -> str:
    return (
        f"or delete {DONE_NAME} of the cross-validation and its folder {', '.join(names[:20])}, and give the command "
        "of its training again without --overwrite: it trains what was deleted and keeps the other folds (--overwrite "
        "would delete all of them); or name the model of each fold that is to score by --model"
    )
