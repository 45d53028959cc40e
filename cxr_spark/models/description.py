"""Says in a few words which model made predictions: beside a hash, what a reader of a report wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_spark.models.metadata import ModelMetadata


def described(metadata: ModelMetadata) -> dict[str, Any]:
    """Describes a model by what its metadata say of it.

    Returns:
        JSON values: `architecture`, and as far as they are known `weights` (where the training began), `epoch` (whose
        weights these are), `data` (that it was trained on), `backend`, `precision` (of the training), `input_size`.
    """
    training = metadata.training
    train, model = _part(training, "train"), _part(training, "model")
    found = {
        "architecture": metadata.architecture,
        "weights": model.get("weights"),
        "epoch": metadata.metrics.get("epoch"),
        "data": training.get("data"),
        "backend": train.get("backend"),
        "precision": train.get("precision"),
        "input_size": metadata.preprocessing.input_size,
    }
    return {name: value for name, value in found.items() if isinstance(value, str | int)}


def _part(training: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = training.get(name)
    return part if isinstance(part, dict) else {}
