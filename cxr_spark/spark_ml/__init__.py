"""The Spark ML face of this package: image stages, `ChestXRayClassifier` and `ChestXRayModel`.

The classes are loaded when they are first asked for, so that executors can import what lies below without Spark.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxr_spark.spark_ml.classifier import ChestXRayClassifier
    from cxr_spark.spark_ml.model import ChestXRayModel

__all__ = ["ChestXRayClassifier", "ChestXRayModel"]

_MODULES = MappingProxyType({"ChestXRayClassifier": "classifier", "ChestXRayModel": "model"})


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
