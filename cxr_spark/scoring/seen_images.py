"""Says where a model was trained on the very images that it is to score or be calibrated on, or may have been.

A model of a cross-validation was trained on images of train and val both: on all of them but those of its own fold.
What it says of them is better than what it says of new images, so no calibration, rank or threshold may rest on them.
Where data were prepared again into the folder that a model was trained from, images may have changed their splits.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from cxr_spark.errors import UsageError
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.outputs.claim import digest
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import SPLITS, TRAIN, VALIDATION

log = logging.getLogger(__name__)


def check_reference(
    uris: Sequence[str], members: Sequence[ModelMetadata], reference: PreparedDataset, asked: str
) -> None:
    """Refuses to calibrate or to rank by validation images that a model was trained on; warns where it may have been.

    Args:
        uris: full URIs of the model folders.
        members: the metadata of each model.
        reference: the prepared data with the validation images.
        asked: the setting that needs them, such as `calibrate=platt`.

    Raises:
        UsageError: a model is of a cross-validation of these data.
    """
    data = (reference.store.uri, digest(reference.manifest))
    seen = _trained_on(uris, members, data)
    if seen:
        option = "--average ranks" if asked.startswith("average") else "--calibrate"
        raise UsageError(
            f"score.{asked} needs validation images that no model was trained on, and {seen[0]} is a model of a "
            f"cross-validation, trained on val images of {reference.store.uri}, too: name other prepared data by "
            f"--calibration-data, or leave out {option}"
        )
    for warning in _prepared_again(uris, members, data):
        log.warning("score.%s: %s", asked, warning)


def doubts_about(
    uris: Sequence[str], members: Sequence[ModelMetadata], dataset: PreparedDataset | None, split: str
) -> dict[str, Any]:
    """Says, and logs, where models were or may have been trained on the images that they score.

    Args:
        uris: full URIs of the model folders.
        members: the metadata of each model.
        dataset: the prepared data that are scored; None for raw images.
        split: a name of `schema.SPLITS`, several with commas between them, or `all`.

    Returns:
        `warnings`, in words, and `splits_trained_on`, those of the scored splits that a model of a cross-validation was
        trained on; each only where there are some.
    """
    if dataset is None:
        return {}
    scored = SPLITS if split == "all" else tuple(split.split(","))
    of_training = tuple(name for name in (TRAIN, VALIDATION) if name in scored)
    data = (dataset.store.uri, digest(dataset.manifest))
    seen = _trained_on(uris, members, data) if of_training else []
    warnings = _prepared_again(uris, members, data)
    doubts: dict[str, Any] = {}
    if seen:
        warnings.insert(0, _seen_warning(seen[0], dataset.store.uri, split))
        doubts["splits_trained_on"] = of_training
    for warning in warnings:
        log.warning("%s", warning)
    return {**doubts, "warnings": tuple(warnings)} if warnings else doubts


def _seen_warning(model: str, data: str, split: str) -> str:
    return (
        f"SCORES OF IMAGES THAT MODELS WERE TRAINED ON: {model} is a model of a cross-validation, trained on images of "
        f"train and val of {data}, and --split {split} scores such images: the AUCs of these images are too good, and "
        "what `evaluate` chooses on val, such as thresholds and temperatures, is wrong for new images. Score --split "
        "test alone; for AUCs evaluate the folder out_of_fold of the cross-validation, for thresholds score other data"
    )


def _prepared_again(uris: Sequence[str], members: Sequence[ModelMetadata], data: tuple[str, str]) -> list[str]:
    """Returns the warning, if any, that a dataset was prepared again after a model was trained from its folder.

    The dataset is given by its full URI and the SHA-256 of its manifest.
    Models of earlier versions do not tell the manifest that they were trained with, so nothing is said of them.
    """
    uri, manifest = data
    for model, training in zip(uris, (member.training for member in members), strict=True):
        told = training.get("data_manifest")
        if training.get("data") == uri and told is not None and told != manifest:
            return [
                f"DATA PREPARED AGAIN AFTER THE TRAINING: {model} was trained from {uri}, whose manifest has changed "
                "since. If images are in other splits now, val and test may hold images that the model was trained on: "
                "their AUCs are too good then, and thresholds and calibrations by them wrong for new images. Train "
                "again on these data, or score data that the model was not trained on"
            ]
    return []


def _trained_on(uris: Sequence[str], members: Sequence[ModelMetadata], data: tuple[str, str]) -> list[str]:
    """Returns the URIs of the models that a cross-validation of a dataset made, here or in another place.

    The dataset is given by its full URI and the SHA-256 of its manifest.
    """
    uri, manifest = data
    facts = ((model, member.training) for model, member in zip(uris, members, strict=True))
    return [
        model
        for model, training in facts
        if training.get("fold") is not None
        and (training.get("data") == uri or training.get("data_manifest") == manifest)
    ]
