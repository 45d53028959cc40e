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

#: A setting that is another way to reach the same result need not be told; this one holds a password, too.
_NOT_TOLD = {"mlflow"}


def described(settings: Settings, dataset: PreparedDataset, run_uri: str, fold: Fold | None = None) -> Description:
    """Returns the name, the parameters and the tags of a training.

    Args:
        settings: the sections `model` and `train` are used.
        dataset: the prepared dataset to train on.
        run_uri: URI of the run's folder.
        fold: the training's part in a cross-validation.
    """
    facts: dict[str, Any] = {
        "model": settings.model.model_dump(mode="json"),
        "train": settings.train.model_dump(mode="json", exclude=_NOT_TOLD),
        "data": {
            "uri": dataset.store.uri,
            "manifest_sha256": digest(dataset.manifest),
            "findings": list(dataset.findings),
            "size": dataset.size,
            "training_images": dataset.images(TRAIN),
            "validation_images": dataset.images(VALIDATION),
        },
        "version": {**versions(), "cxr-spark": __version__},
        **({"fold": {"number": fold.number, "of": fold.of}} if fold else {}),
    }
    if fold:  # it divides the images of train and val in another way
        del facts["data"]["training_images"], facts["data"]["validation_images"]
    name = settings.train.mlflow.run_name or _last_part(run_uri, 2 if fold else 1)
    if fold and settings.train.mlflow.run_name:
        name = f"{name} fold {fold.number}"
    tags = {"mlflow.source.name": "cxr-spark train", "mlflow.source.type": "JOB", "cxr_spark.out": run_uri}
    return Description(without_credentials(name), _texts(flat(facts)), _texts(tags))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    texts = {name: value if isinstance(value, str) and value else json.dumps(value) for name, value in values.items()}
    return {name: without_credentials(text) for name, text in texts.items()}


def _last_part(uri: str, parts: int) -> str:
    return "/".join(uri.rstrip("/").split("/")[-parts:])
