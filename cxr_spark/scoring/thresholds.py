"""Thresholds that an evaluation chose on validation images, for the calls beside the scores. No Spark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cxr_spark.errors import DataError
from cxr_spark.storage.store import Store

METRICS_NAME = "metrics.json"


def thresholds_of(uri: str, point: str, model_id: str, findings: Sequence[str]) -> tuple[float | None, ...]:
    """Reads the threshold of each finding of a model.

    Args:
        uri: full URI of the output of the evaluate job.
        point: by which rule they were chosen: a key of `operating_points.points` in its metrics.json.
        model_id: the identity of the model, or of the models whose scores are averaged.
        findings: what the model's outputs stand for.

    Returns:
        In the order of the model's findings; None where the validation images gave none.

    Raises:
        DataError: there is no evaluation, it is of another model, or it chose no thresholds.
    """
    try:
        metrics: Any = Store(uri).read_json(METRICS_NAME)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"--thresholds {uri}: no {METRICS_NAME} there: expected the --out of evaluate") from None
    metrics = metrics if isinstance(metrics, dict) else {}
    if metrics.get("model_id") != model_id:
        raise DataError(
            f"--thresholds {uri} is the evaluation of model {str(metrics.get('model_id'))[:12]}, the scores are of "
            f"{model_id[:12]}: evaluate this model's scores first"
        )
    points = metrics.get("operating_points")
    chosen = points.get("points", {}).get(point) if isinstance(points, dict) else None
    if not isinstance(chosen, dict):
        raise DataError(
            f"--thresholds {uri} chose no thresholds on validation images: score with --split val,test, and evaluate "
            "that with --split test"
        )
    return tuple(_threshold(uri, name, chosen.get(name)) for name in findings)


def _threshold(uri: str, finding: str, numbers: Any) -> float | None:
    value = numbers.get("threshold") if isinstance(numbers, dict) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"--thresholds {uri}: the threshold of {finding!r} is {value!r}: expected a number")
    return float(value)
