"""Scoring: probabilities for prepared or raw images, by a job or by Spark ML.

`ChestXRayModel`, the Spark ML Model, is loaded when first asked for: executors import this package and need no Spark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxr_spark.scoring.spark_model import ChestXRayModel

__all__ = ["ChestXRayModel"]


def __getattr__(name: str) -> Any:
    if name != "ChestXRayModel":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cxr_spark.scoring.spark_model import ChestXRayModel

    return ChestXRayModel
