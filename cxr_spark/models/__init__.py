"""Networks: how they are built, where their weights come from, and how a trained one is kept."""

from cxr_spark.models import _torchvision  # noqa: F401  # before the first import of torchvision
from cxr_spark.models.architectures import ARCHITECTURES, Architecture, architecture, build
from cxr_spark.models.folder import LoadedModel, load_metadata, load_model, save_model
from cxr_spark.models.freezing import freeze, set_train_mode
from cxr_spark.models.initial_weights import load_initial_weights, resolve_weights
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.models.weights import Weights

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
