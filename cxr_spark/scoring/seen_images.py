"""Says where a model of a cross-validation was trained on the very images that it is to score or be calibrated on.

Such a model was trained on images of train and val both: on all of them but those of its own fold. What it says of them
is better than what it says of new images, so no calibration, rank or threshold may rest on them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cxr_spark.errors import UsageError
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.outputs.claim import digest
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import SPLITS, TRAIN, VALIDATION

log = logging.getLogger(__name__)


def check_reference(
    uris: Sequence[str], members: Sequence[ModelMetadata], reference: PreparedDataset, asked: str
) -> None:
    """Refuses to calibrate or to rank by validation images that a model was trained on.

    Args:
        uris: full URIs of the model folders.
        members: the metadata of each model.
        reference: the prepared data with the validation images.
        asked: the setting that needs them, such as `calibrate=platt`.

    Raises:
        UsageError: a model is of a cross-validation of these data.
    """
    seen = _trained_on(uris, members, reference)
    if seen:
        raise UsageError(
            f"score.{asked} needs validation images that no model was trained on, and {seen[0]} is a model of a "
            f"cross-validation, trained on val images of {reference.store.uri}, too: name other prepared data by "
            "--calibration-data, or leave it out"
        )


def warnings_of(
    uris: Sequence[str], members: Sequence[ModelMetadata], dataset: PreparedDataset | None, split: str
) -> tuple[str, ...]:
    """Says, and logs, where the scored images are such that a model of a cross-validation was trained on them.

    Args:
        uris: full URIs of the model folders.
        members: the metadata of each model.
        dataset: the prepared data that are scored; None for raw images.
        split: a name of `schema.SPLITS`, several with commas between them, or `all`.

    Returns:
        The warnings, in words; none where all is well.
    """
    scored = SPLITS if split == "all" else tuple(split.split(","))
    of_training = [name for name in (TRAIN, VALIDATION) if name in scored]
    seen = _trained_on(uris, members, dataset) if dataset and of_training else []
    if not dataset or not seen:
        return ()
    warning = (
        f"SCORES OF IMAGES THAT MODELS WERE TRAINED ON: {seen[0]} is a model of a cross-validation, trained on images "
        f"of train and val of {dataset.store.uri}, and --split {split} scores such: their AUCs are too good, and what "
        "`evaluate` chooses on val, such as thresholds and temperatures, is wrong for new images. Score --split test "
        "alone; for AUCs and thresholds evaluate the folder out_of_fold of the cross-validation, or score other data"
    )
    log.warning("%s", warning)
    return (warning,)


def _trained_on(uris: Sequence[str], members: Sequence[ModelMetadata], dataset: PreparedDataset) -> list[str]:
    """Returns the URIs of the models that a cross-validation of a dataset made, here or in another place."""
    data = (dataset.store.uri, digest(dataset.manifest))
    facts = ((uri, member.training) for uri, member in zip(uris, members, strict=True))
    return [
        uri
        for uri, training in facts
        if training.get("fold") is not None
        and (training.get("data") == data[0] or training.get("data_manifest") == data[1])
    ]
