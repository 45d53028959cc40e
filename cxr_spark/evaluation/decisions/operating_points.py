"""Operating points: thresholds that are chosen on validation images, and what they give on the evaluated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.evaluation.counting.bootstrap import percentile_interval
from cxr_spark.evaluation.counting.curves import SENSITIVITIES, SPECIFICITIES
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.decisions.resampled import RESAMPLED, ResampledCounter
from cxr_spark.evaluation.image_sets.base import ImageSet
from cxr_spark.tables.schema import VALIDATION

#: Each rule in words, in the order of the report.
POINTS: Mapping[str, str] = MappingProxyType(
    {
        **{f"sensitivity_{part}": f"sensitivity of {part} %" for part, _ in SENSITIVITIES},
        **{f"specificity_{part}": f"specificity of {part} %" for part, _ in SPECIFICITIES},
        "youden": "largest sensitivity + specificity (Youden)",
        "f1": "largest F1",
    }
)
#: At most so many calls count: each gives back the counts of all replicates.
_MOST_CALLS = 16
_Counts = NDArray[np.int64]


def operating_points(
    evaluated: ImageSet, held_out: Sequence[Curve | None], findings: Sequence[str], *, replicates: int, seed: int
) -> dict[str, Any]:
    """Chooses thresholds on the validation images and applies them to the evaluated ones.

    Args:
        evaluated: checked images, all with labels.
        held_out: the curve of each finding on the validation images.
        findings: the names of the findings, in the order of labels and scores.
        replicates: the number of bootstrap replicates over patients; with 0 there are no intervals.
        seed: the seed of the bootstrap.

    Returns:
        The part `operating_points` of metrics.json: `chosen_on`, and in `points` by rule and finding the threshold, the
        four counts, and sensitivity, specificity, PPV and NPV with intervals. All are None where the validation images
        give no threshold; a ratio is None where its denominator is 0.
    """
    chosen = thresholds_by_rule(held_out)
    counter = ResampledCounter(
        np.array([[np.inf if t is None else t for t in row] for row in chosen.values()]), replicates, seed
    )
    total = np.zeros(counter.shape, np.int64)
    for row in evaluated.each(counter, RESAMPLED, _MOST_CALLS):
        total += np.frombuffer(bytes(row["counts"]), np.int64).reshape(counter.shape)
    points: dict[str, Any] = {}
    for rule, (name, thresholds) in enumerate(chosen.items()):
        true, false = total[:, 2 + 2 * rule], total[:, 3 + 2 * rule]
        points[name] = {
            finding: _numbers(thresholds[i], total[:, 0, i], total[:, 1, i], true[:, i], false[:, i])
            for i, finding in enumerate(findings)
        }
    return {"chosen_on": VALIDATION, "points": points}


def thresholds_by_rule(held_out: Sequence[Curve | None]) -> dict[str, list[float | None]]:
    """Returns the threshold of each finding by each rule of `POINTS`; None where the curve has none."""
    chosen: dict[str, list[float | None]] = {name: [] for name in POINTS}
    for curve in held_out:
        found: list[float | None] = [None] * len(POINTS)
        if curve is not None and curve.targets is not None and curve.best is not None and curve.best_f1 is not None:
            found = [*curve.targets, curve.best.threshold, curve.best_f1.threshold]
        for name, threshold in zip(POINTS, found, strict=True):
            chosen[name].append(threshold)
    return chosen


def _numbers(threshold: float | None, positive: _Counts, negative: _Counts, true: _Counts, false: _Counts) -> Any:
    missed, absent = positive - true, negative - false
    counts = {"true_positives": true, "false_positives": false, "false_negatives": missed, "true_negatives": absent}
    shares = {
        "sensitivity": (true, positive),
        "specificity": (absent, negative),
        "ppv": (true, true + false),
        "npv": (absent, absent + missed),
    }
    numbers: dict[str, Any] = {"threshold": threshold}
    for name, (part, whole) in shares.items():
        defined = threshold is not None and whole[0] > 0
        numbers[name] = int(part[0]) / int(whole[0]) if defined else None
        replicates = np.where(whole[1:] > 0, part[1:] / np.maximum(whole[1:], 1), np.nan)
        numbers[f"{name}_ci95"] = percentile_interval(replicates) if defined else None
    return {**numbers, **{name: None if threshold is None else int(n[0]) for name, n in counts.items()}}
