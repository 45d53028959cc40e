"""The image stages of Spark ML.

They are attributes of this package and are loaded when they are first asked for, so that executors can import the
modules beside them without Spark.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxr_spark.spark_ml.stages.affine import RandomAffine
    from cxr_spark.spark_ml.stages.brightness import RandomBrightness
    from cxr_spark.spark_ml.stages.crop import CenterCrop, RandomCrop
    from cxr_spark.spark_ml.stages.erasing import RandomErasing
    from cxr_spark.spark_ml.stages.flip import RandomHorizontalFlip, RandomVerticalFlip
    from cxr_spark.spark_ml.stages.normalize import ImageNetBGR
    from cxr_spark.spark_ml.stages.resize import Resize
    from cxr_spark.spark_ml.stages.trivial import TrivialAugment

__all__ = [
    "CenterCrop",
    "ImageNetBGR",
    "RandomAffine",
    "RandomBrightness",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "Resize",
    "TrivialAugment",
]

_MODULES = MappingProxyType(
    {
        "CenterCrop": "crop",
        "ImageNetBGR": "normalize",
        "RandomAffine": "affine",
        "RandomBrightness": "brightness",
        "RandomCrop": "crop",
        "RandomErasing": "erasing",
        "RandomHorizontalFlip": "flip",
        "RandomVerticalFlip": "flip",
        "Resize": "resize",
        "TrivialAugment": "trivial",
    }
)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
