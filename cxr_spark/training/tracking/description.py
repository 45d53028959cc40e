"""What MLflow is told of a training before its first epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cxr_spark import __version__
from cxr_spark.config import Settings
from cxr_spark.outputs.claim import digest, flat
from cxr_spark.storage.uris import without_credentials
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import TRAIN, VALIDATION
from cxr_spark.training.driver.finish import versions
from cxr_spark.training.folds import Fold
from cxr_spark.training.tracking.run import Description

#: MLflow knows where it is, and a password may stand there.
_NOT_TOLD = {"mlflow"}
#: The numbers of images that are told, by split.
_COUNTED = {"training_images": TRAIN, "validation_images": VALIDATION}


def described(
    settings: Settings,
    dataset: PreparedDataset,
    run_uri: str,
    fold: Fold | None = None,
    parent: str | None = None,
    folds: int | None = None,
) -> Description:
    """Returns the name, the parameters and the tags of a training.

    Args:
        settings: the sections `model` and `train` are used.
        dataset: the prepared dataset to train on.
        run_uri: URI of the run's folder.
        fold: the training's part in a cross-validation.
        parent: the ID of the run of the whole cross-validation.
        folds: the number of folds, where this is the whole cross-validation.
    """
    facts: dict[str, Any] = {
        "model": settings.model.model_dump(mode="json"),
        "train": settings.train.model_dump(mode="json", exclude=_NOT_TOLD),
        "data": {
            "uri": dataset.store.uri,
            "manifest_sha256": digest(dataset.manifest),
            "findings": list(dataset.findings),
            "size": dataset.size,
            # A cross-validation divides the images of both splits in other ways.
            **({} if fold or folds else {name: dataset.images(split) for name, split in _COUNTED.items()}),
        },
        "version": {**versions(), "cxr-spark": __version__},
        **({"fold": {"number": fold.number, "of": fold.of}} if fold else {}),
        **({"folds": folds} if folds else {}),
    }
    name = settings.train.mlflow.run_name or _last_part(run_uri, 2 if fold else 1)
    if fold and settings.train.mlflow.run_name:
        name = f"{name} fold {fold.number}"
    tags = {"mlflow.source.name": "cxr-spark train", "mlflow.source.type": "JOB", "cxr_spark.out": run_uri}
    if parent:
        tags["mlflow.parentRunId"] = parent
    return Description(without_credentials(name), _texts(flat(facts)), _texts(tags))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    texts = {name: value if isinstance(value, str) and value else json.dumps(value) for name, value in values.items()}
    return {name: without_credentials(text) for name, text in texts.items()}


def _last_part(uri: str, parts: int) -> str:
    return "/".join(uri.rstrip("/").split("/")[-parts:])
