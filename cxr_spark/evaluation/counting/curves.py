"""ROC curves, average precision and operating points, from the counts of images above each threshold.

All of them can be computed for one range of scores, given how many images score above that range, and the results of
all ranges add up exactly. A finding is called present where score >= threshold. Nothing here needs Spark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A curve is cut into this many cells of equal length in (false + true positive rate); each keeps two points at most.
_CELLS = 999
#: The sensitivities and specificities that thresholds are chosen for, each as (numerator, denominator).
SENSITIVITIES = SPECIFICITIES = ((90, 100), (95, 100))
_FRACTION_BITS = 53  # of a double in [0.5, 1)
_LOW_BITS = 27


@dataclass(frozen=True)
class Counts:
    """A number of positives and of negatives."""

    positive: int
    negative: int


@dataclass(frozen=True)
class Thresholds:
    """The distinct scores of a range, descending, and how many images of the whole curve score at or above each.

    Attributes:
        score: float64, shape (n,), the distinct scores.
        true_positives: int64, shape (n,), the positives at or above each score.
        false_positives: int64, shape (n,), the negatives at or above each score.
        positives_here: int64, shape (n,), the positives with exactly that score.
    """

    score: NDArray[np.float64]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    positives_here: NDArray[np.int64]


def thresholds_of(scores: NDArray[np.float64], labels: NDArray[np.bool_], above: Counts) -> Thresholds:
    """Counts the images at or above each distinct score.

    Args:
        scores: shape (n,), ascending, n > 0.
        labels: shape (n,), whether the finding is present.
        above: the images of the whole curve that score above all of these.
    """
    first = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    positives = np.add.reduceat(labels.astype(np.int64), first)
    negatives = np.diff(np.r_[first, scores.size]) - positives
    return Thresholds(
        score=scores[first][::-1],
        true_positives=above.positive + np.cumsum(positives[::-1]),
        false_positives=above.negative + np.cumsum(negatives[::-1]),
        positives_here=positives[::-1],
    )


def precision_sum(thresholds: Thresholds) -> int:
    """Returns the sum over positives of the precision at their score, as a multiple of 2^-53.

    Average precision is that sum over the number of positives: the sum over thresholds of (step in recall) * precision,
    as scikit-learn defines it. Each precision is rounded to 53 bits and the sum is of integers, so that it does not
    depend on how the scores are cut into ranges.
    """
    steps = thresholds.positives_here > 0
    true, here = thresholds.true_positives[steps], thresholds.positives_here[steps]
    precision = true / (true + thresholds.false_positives[steps])
    fixed = np.rint(np.ldexp(precision, _FRACTION_BITS)).astype(np.int64)
    high = int((here * (fixed >> _LOW_BITS)).sum())
    low = int((here * (fixed & ((1 << _LOW_BITS) - 1))).sum())
    return (high << _LOW_BITS) + low


def average_precision(total: int, n_positive: int) -> float:
    """Returns the average precision from the sum of `precision_sum` over all ranges."""
    return total / (n_positive << _FRACTION_BITS)


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold that makes sensitivity + specificity largest (Youden, Cancer 3, 1950).

    Attributes:
        index: (sensitivity + specificity - 1) * n_positive * n_negative, an integer.
        threshold: the score at or above which the finding is called present.
        true_positives: the number of images at or above it that have the finding.
        false_positives: the number of images at or above it that do not have it.
    """

    index: int
    threshold: float
    true_positives: int
    false_positives: int


def youden_point(thresholds: Thresholds, total: Counts) -> OperatingPoint:
    """Returns the best operating point of a range; of equally good ones the one with the highest threshold."""
    index = thresholds.true_positives * total.negative - thresholds.false_positives * total.positive
    best = int(np.argmax(index))
    return OperatingPoint(
        index=int(index[best]),
        threshold=float(thresholds.score[best]),
        true_positives=int(thresholds.true_positives[best]),
        false_positives=int(thresholds.false_positives[best]),
    )


def best_point(points: Iterable[OperatingPoint]) -> OperatingPoint:
    """Returns the best of the points of all ranges; of equally good ones the one with the highest threshold."""
    return max(points, key=lambda point: (point.index, point.threshold))


@dataclass(frozen=True, order=True)
class F1Point:
    """The threshold with the largest F1; of two points the larger is the better one.

    Attributes:
        f1: 2 * true positives / (images called present + all positives).
        threshold: the score at or above which the finding is called present.
    """

    f1: float
    threshold: float


def f1_point(thresholds: Thresholds, total: Counts) -> F1Point:
    """Returns the point of a range with the largest F1; of equally good ones the one with the highest threshold."""
    called = thresholds.true_positives + thresholds.false_positives
    f1 = 2 * thresholds.true_positives / (called + total.positive)
    best = int(np.argmax(f1))
    return F1Point(float(f1[best]), float(thresholds.score[best]))


def target_thresholds(thresholds: Thresholds, total: Counts) -> NDArray[np.float64]:
    """Returns the thresholds of a range that reach `SENSITIVITIES` and keep `SPECIFICITIES`.

    Args:
        thresholds: the distinct scores of the range.
        total: the positives and negatives of the whole curve, both above 0.

    Returns:
        float64 of shape (4,): for each sensitivity the highest threshold that reaches it, then for each specificity the
        lowest threshold that keeps it; NaN where no threshold of the range does.
    """
    found = np.full(len(SENSITIVITIES) + len(SPECIFICITIES), np.nan)
    for place, (part, whole) in enumerate(SENSITIVITIES):
        reached = thresholds.true_positives * whole >= part * total.positive
        if reached[-1]:  # the counts only grow from one threshold to the next lower one
            found[place] = thresholds.score[np.argmax(reached)]
    for place, (part, whole) in enumerate(SPECIFICITIES, start=len(SENSITIVITIES)):
        kept = (total.negative - thresholds.false_positives) * whole >= part * total.negative
        if kept[0]:
            found[place] = thresholds.score[np.count_nonzero(kept) - 1]
    return found


def best_targets(found: NDArray[np.float64]) -> list[float | None]:
    """Returns the thresholds of a whole curve from those of its ranges.

    Args:
        found: shape (ranges, 4), from `target_thresholds`.

    Returns:
        For each sensitivity the highest, for each specificity the lowest; None where there is none.
    """
    cut = len(SENSITIVITIES)
    highest = np.where(np.isnan(found[:, :cut]), -np.inf, found[:, :cut]).max(axis=0)
    lowest = np.where(np.isnan(found[:, cut:]), np.inf, found[:, cut:]).min(axis=0)
    return [float(value) if np.isfinite(value) else None for value in (*highest, *lowest)]


def thin(
    true_positives: NDArray[np.int64],
    false_positives: NDArray[np.int64],
    total: Counts,
    *others: NDArray[np.generic],
) -> tuple[NDArray[Any], ...]:
    """Drops points of a ROC curve that a picture cannot show.

    In each of 999 cells of equal length in (false positive rate + true positive rate) the first and the last point
    stay. Both rates only grow, so a dropped point is within 2 / 999 of the line that is drawn. Thinning the parts of a
    curve and then the whole gives the same points as thinning the whole.

    Args:
        true_positives: shape (n,), never falling along the curve.
        false_positives: shape (n,), never falling along the curve.
        total: the positives and negatives of the whole curve, both above 0.
        others: further values of the same points, such as their thresholds, each of shape (n,).

    Returns:
        The points that stay, at most 1,998: the arrays of true and false positives, then the others.
    """
    values = (true_positives, false_positives, *others)
    if true_positives.size == 0:
        return values
    along = true_positives / total.positive + false_positives / total.negative
    cell = np.minimum((along * (_CELLS / 2)).astype(np.int64), _CELLS - 1)
    changes = cell[1:] != cell[:-1]
    keep = np.r_[True, changes] | np.r_[changes, True]
    return tuple(value[keep] for value in values)
