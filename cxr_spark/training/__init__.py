"""Training: a loop that every rank runs, and the driver's side that plans, starts and finishes it.

`ChestXRayClassifier`, the Spark ML Estimator, is loaded when first asked for: training ranks import this package and
need no Spark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cxr_spark.training.estimator import ChestXRayClassifier

__all__ = ["ChestXRayClassifier"]


def __getattr__(name: str) -> Any:
    if name != "ChestXRayClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cxr_spark.training.estimator import ChestXRayClassifier

    return ChestXRayClassifier
