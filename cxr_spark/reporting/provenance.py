"""Finds out whether images are synthetic, and which model scored them, from what earlier jobs left beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cxr_spark.errors import CxrError
from cxr_spark.outputs.claim import DONE_NAME
from cxr_spark.outputs.own_files import finished_files
from cxr_spark.storage.store import Store, parent_and_name
from cxr_spark.tables.notice import NOTICE_NAME
from cxr_spark.tables.prepared import MANIFEST_NAME


def is_synthetic(predictions: str, labels: Sequence[str]) -> bool:
    """Whether the labels lie beside the notice of the sample-data job.

    Args:
        predictions: the URI of predictions. Those of the score job name the prepared data, which names its label files.
        labels: the URIs of the label files that were given.

    Returns:
        True where a notice is found. False also where the files that would tell are gone.
    """
    told = _json(_json(predictions, DONE_NAME, "inputs").get("data"), MANIFEST_NAME, "sources").get("labels")
    sources = [*labels, *(told if isinstance(told, list) else [told])]
    return any(_has_notice(source) for source in sources if isinstance(source, str))


def model_of(predictions: str, model_id: str | None) -> dict[str, Any] | None:
    """Returns what the score job says of the model, see `models.description`; None where it does not say.

    Args:
        predictions: the URI of predictions.
        model_id: the model that the rows of the predictions name; what is said of another one is not taken.
    """
    summary = _json(predictions, DONE_NAME, "summary")
    model = summary.get("model")
    return model if isinstance(model, dict) and model and summary.get("model_id") == model_id else None


def scored_by(predictions: str) -> str | None:
    """Returns the `model_id` of the models that made predictions, as the score job says; None where it does not say.

    Args:
        predictions: the URI of predictions: a folder, or a file that the score job wrote into one.
    """
    found = _scores(predictions).get("model_id")
    return found if isinstance(found, str) else None


def warnings_of_scores(predictions: str) -> list[str]:
    """Returns what the score job says against its own scores, such as that a model was trained on their images.

    Args:
        predictions: the URI of predictions: a folder, or a file that the score job wrote into one.
    """
    return _texts(_scores(predictions).get("warnings"))


def splits_trained_on(predictions: str) -> list[str]:
    """Returns the splits of scores, as the score job names them, that a model of a cross-validation was trained on.

    Args:
        predictions: the URI of predictions: a folder, or a file that the score job wrote into one.
    """
    return _texts(_scores(predictions).get("splits_trained_on"))


def prepared_as(predictions: str) -> dict[str, Any]:
    """Returns what the manifest of the prepared data that the score job read says of them, as far as it is there.

    Returns:
        `dataset` and `split`, in words; and `splits`: of each its counts, `images` and `patients` among them.
    """
    found = _manifest(_json(predictions, DONE_NAME, "inputs").get("data"))
    told: dict[str, Any] = {name: found[name] for name in ("dataset", "split") if isinstance(found.get(name), str)}
    splits = found.get("splits")
    if isinstance(splits, dict):
        told["splits"] = {name: split for name, split in splits.items() if _counts(split)}
    return told


def _scores(predictions: str) -> dict[str, Any]:
    """Returns the summary of the score job that wrote a folder, or a file in one; an empty object where none did."""
    if found := _json(predictions, DONE_NAME, "summary"):
        return found
    try:
        folder, name = parent_and_name(predictions)
        written = finished_files(folder, "score") or ()
    except (CxrError, OSError):
        return {}
    return _json(folder.uri, DONE_NAME, "summary") if name in written else {}


def _texts(told: Any) -> list[str]:
    return [text for text in told if isinstance(text, str)] if isinstance(told, list) else []


def _counts(split: Any) -> bool:
    return isinstance(split, dict) and all(isinstance(split.get(name), int) for name in ("images", "patients"))


def _manifest(data: Any) -> dict[str, Any]:
    """Returns the manifest of prepared data; an empty object where there is none."""
    if not isinstance(data, str):
        return {}
    try:
        value = Store(data).read_json(MANIFEST_NAME)
    except (CxrError, OSError):
        return {}
    return value if isinstance(value, dict) else {}


def _json(uri: Any, name: str, key: str) -> dict[str, Any]:
    """Returns an object within a JSON file; an empty object where there is none."""
    if not isinstance(uri, str):
        return {}
    try:
        value = Store(uri).read_json(name)
    except (CxrError, OSError):
        return {}
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _has_notice(labels: str) -> bool:
    try:
        return parent_and_name(labels)[0].exists(NOTICE_NAME)
    except CxrError:
        return False
