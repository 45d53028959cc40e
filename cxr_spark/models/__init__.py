"""Networks: how they are built, where their weights come from, and how a trained one is kept.

Importing the package loads no torch: a name below is imported from its module when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxr_spark.models.architectures import ARCHITECTURES, Architecture, architecture, build
    from cxr_spark.models.folder import LoadedModel, load_model, save_model
    from cxr_spark.models.freezing import freeze, set_train_mode
    from cxr_spark.models.initial_weights import load_initial_weights, resolve_weights
    from cxr_spark.models.metadata import ModelMetadata
    from cxr_spark.models.metadata_file import load_metadata
    from cxr_spark.models.weights import Weights

_MODULES = {
    "ARCHITECTURES": "architectures",
    "Architecture": "architectures",
    "LoadedModel": "folder",
    "ModelMetadata": "metadata",
    "Weights": "weights",
    "architecture": "architectures",
    "build": "architectures",
    "freeze": "freezing",
    "load_initial_weights": "initial_weights",
    "load_metadata": "metadata_file",
    "load_model": "folder",
    "resolve_weights": "initial_weights",
    "save_model": "folder",
    "set_train_mode": "freezing",
}

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "LoadedModel",
    "ModelMetadata",
    "Weights",
    "architecture",
    "build",
    "freeze",
    "load_initial_weights",
    "load_metadata",
    "load_model",
    "resolve_weights",
    "save_model",
    "set_train_mode",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
