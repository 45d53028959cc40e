"""Thresholds that an evaluation chose on validation images, for the calls beside the scores. No Spark."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from cxr_spark.datasets.findings import shared_findings
from cxr_spark.errors import DataError, UsageError
from cxr_spark.storage.store import NotJsonError, Store

log = logging.getLogger(__name__)

METRICS_NAME = "metrics.json"
#: What the score job says of the way from a model's outputs to probabilities, where it is not the plain one.
_COMBINATION = ("average", "tta", "calibrate", "calibration")
#: What it says of the engine that decides the probabilities.
_ENGINE = ("scoring_precision",)


def thresholds_of(
    uri: str, point: str, model_id: str, findings: Sequence[str], scored: Mapping[str, Any] | None = None
) -> tuple[float | None, ...]:
    """Reads the threshold of each finding of a model.

    The evaluation may name findings otherwise, by a synonym or in another spelling. Findings without a threshold are
    named in a warning.

    Args:
        uri: full URI of the output of the evaluate job.
        point: by which rule they were chosen: a key of `operating_points.points` in its metrics.json.
        model_id: the identity of the model, or of the models whose scores are averaged.
        findings: what the model's outputs stand for.
        scored: what the score job says of the model and of how its probabilities are made, see `Models.described`.

    Returns:
        In the order of the model's findings; None where the validation images gave none.

    Raises:
        DataError: there is no evaluation, it is of another model or of probabilities that were made otherwise, or it
            chose no thresholds for these findings.
        UsageError: it is of images that a model was trained on.
    """
    try:
        metrics: Any = Store(uri).read_json(METRICS_NAME)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"--thresholds {uri}: no {METRICS_NAME} there: expected the --out of evaluate") from None
    except NotJsonError as error:
        raise DataError(f"--thresholds {uri}: {error}; evaluate again with --overwrite") from None
    metrics = metrics if isinstance(metrics, dict) else {}
    if metrics.get("model_id") != model_id:
        raise DataError(
            f"--thresholds {uri} is the evaluation of model {str(metrics.get('model_id'))[:12]}, the scores are of "
            f"{model_id[:12]}: evaluate this model's scores first"
        )
    if metrics.get("splits_trained_on"):  # earlier versions do not tell it
        raise UsageError(
            f"--thresholds {uri} is the evaluation of images that a model of a cross-validation was trained on, whose "
            "thresholds are wrong for new images: score other prepared data with --split val,test and evaluate that "
            "with --split test, or train one model by the same recipe without --folds"
        )
    _check_combination(uri, metrics.get("model"), scored or {})
    points: Any = metrics.get("operating_points")
    for key in ("points", point):
        points = points.get(key) if isinstance(points, dict) else None
    if not isinstance(points, dict):
        raise DataError(
            f"--thresholds {uri} chose no thresholds on validation images: score with --split val,test, and evaluate "
            "that with --split test"
        )
    shared = shared_findings(findings, list(points))
    found = tuple(_threshold(uri, name, points.get(shared.get(name, name))) for name in findings)
    missing = [name for name, threshold in zip(findings, found, strict=True) if threshold is None]
    if len(missing) == len(findings):
        raise DataError(
            f"--thresholds {uri} has no threshold for any of the findings {', '.join(findings)}: it is about "
            f"{', '.join(points)}; evaluate with labels of these findings"
        )
    if missing:
        log.warning("%d findings have no threshold in %s and are not called: %s", len(missing), uri, ", ".join(missing))
    return found


def _check_combination(uri: str, evaluated: Any, scored: Mapping[str, Any]) -> None:
    """Refuses thresholds of probabilities that were averaged or calibrated in another way than these are.

    Raises:
        DataError: they were.
    """
    if not isinstance(evaluated, dict):
        log.warning("%s does not say how its probabilities were made: they are taken to be made like these", uri)
        return
    if evaluated.get("models_by_fold") is not None:
        raise DataError(
            f"--thresholds {uri} is the evaluation of out-of-fold scores, each of one of {evaluated.get('folds')} "
            "models, and thresholds of single models do not fit the mean of all: train one model by the same recipe "
            "without --folds, or score other prepared data by these models with --split val,test, and evaluate that "
            "with --split test"
        )
    for key in (*_COMBINATION, *(name for name in _ENGINE if name in evaluated)):  # earlier versions do not tell it
        if evaluated.get(key) != scored.get(key):
            raise DataError(
                f"--thresholds {uri} is of probabilities with {key}={evaluated.get(key, 'none')}, these are made with "
                f"{key}={scored.get(key, 'none')}: score with the options of the scores that were evaluated"
            )


def _threshold(uri: str, finding: str, numbers: Any) -> float | None:
    value = numbers.get("threshold") if isinstance(numbers, dict) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"--thresholds {uri}: the threshold of {finding!r} is {value!r}: expected a number")
    return float(value)
