"""Adds the buckets that the executors counted up to whole curves. This runs on the driver; nothing here needs Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.evaluation.counting import curves
from cxr_spark.evaluation.counting.auc import auc_of_counts
from cxr_spark.evaluation.counting.buckets import CurveSettings
from cxr_spark.evaluation.counting.curves import Counts, F1Point, OperatingPoint


@dataclass(frozen=True)
class Curve:
    """One whole curve.

    Attributes:
        counts: the number of positives and negatives.
        auc: the exact AUC, ties counted half; None where a class is empty.
        replicate_aucs: float64 of shape (replicates,), the AUC of each bootstrap replicate; NaN where a replicate has
            one class only.
        average_precision: the average precision as scikit-learn defines it. This and all that follow are None where a
            class is empty or the curve was counted without them, see `CurveSettings.drawn`.
        best: the operating point of Youden.
        best_f1: the threshold with the largest F1.
        roc: true and false positive rates, float64 of shape (2, n) from (0, 0) to (1, 1).
        roc_thresholds: float64 of shape (n,), the score at or above which the finding is called present at each point
            of `roc`; infinite for the first, at which it never is.
        targets: the thresholds for `curves.SENSITIVITIES`, then for `curves.SPECIFICITIES`; None for one that no
            threshold reaches.
    """

    counts: Counts
    auc: float | None
    replicate_aucs: NDArray[np.float64]
    average_precision: float | None = None
    best: OperatingPoint | None = None
    best_f1: F1Point | None = None
    roc: NDArray[np.float64] | None = None
    roc_thresholds: NDArray[np.float64] | None = None
    targets: list[float | None] | None = None


def combine(rows: Sequence[Mapping[str, Any]], settings: CurveSettings) -> dict[int, Curve]:
    """Adds up the buckets of all partitions.

    Args:
        rows: rows of `BUCKETS`, in any order.
        settings: the settings that they were counted with.

    Returns:
        The curves by their numbers.
    """
    by_curve: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_curve.setdefault(int(row["curve"]), []).append(row)
    return {
        number: _whole(sorted(buckets, key=lambda row: row["lowest"]), number < settings.drawn)
        for number, buckets in sorted(by_curve.items())
    }


def _whole(buckets: Sequence[Mapping[str, Any]], drawn: bool) -> Curve:
    """Adds up the buckets of one curve, given ascending."""
    positive, negative, twice_u = (
        np.stack([_integers(bucket[name]) for bucket in buckets]) for name in ("positive", "negative", "twice_u")
    )
    negatives_below = np.cumsum(negative, axis=0) - negative
    whole_u = (twice_u + 2 * positive * negatives_below).sum(axis=0)
    n_positive, n_negative = positive.sum(axis=0), negative.sum(axis=0)
    pairs = n_positive[1:] * n_negative[1:]
    aucs = np.where(pairs > 0, whole_u[1:] / (2.0 * np.maximum(pairs, 1)), np.nan)
    counts = Counts(int(n_positive[0]), int(n_negative[0]))
    auc = auc_of_counts(int(whole_u[0]), counts.positive, counts.negative)
    if not drawn or auc is None:
        return Curve(counts, auc, aucs)
    # From the highest scores down, as a ROC curve runs.
    true, false = (
        np.concatenate([_integers(b[name]) for b in reversed(buckets)]) for name in ("roc_true", "roc_false")
    )
    scores = np.concatenate([np.frombuffer(bytes(b["roc_scores"])) for b in reversed(buckets)])
    true, false, scores = curves.thin(true, false, counts, scores)
    roc = np.stack([np.r_[0, true] / counts.positive, np.r_[0, false] / counts.negative])
    total = sum(int(str(bucket["precision_sum"])) for bucket in buckets)
    best = curves.best_point(
        OperatingPoint(b["best_index"], b["best_threshold"], b["best_true"], b["best_false"]) for b in buckets
    )
    return Curve(
        counts,
        auc,
        aucs,
        average_precision=curves.average_precision(total, counts.positive),
        best=best,
        best_f1=max(F1Point(b["f1"], b["f1_threshold"]) for b in buckets),
        roc=roc,
        roc_thresholds=np.r_[np.inf, scores],
        targets=curves.best_targets(np.stack([np.frombuffer(bytes(b["targets"])) for b in buckets])),
    )


def _integers(data: bytes) -> NDArray[np.int64]:
    return np.frombuffer(bytes(data), dtype=np.int64)
