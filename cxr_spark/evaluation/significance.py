"""p-values of differences, and their correction for how many of them are looked at. Nothing here needs Spark."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxr_spark.evaluation.counting.bootstrap import MIN_DEFINED


def normal_p(difference: float, variance: float) -> float:
    """Returns the two-sided p-value of a difference that is normally distributed around 0 with that variance.

    >>> round(normal_p(1.96, 1.0), 3)
    0.05
    """
    if variance <= 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / math.sqrt(2 * variance))


def bootstrap_p(differences: NDArray[np.float64]) -> float | None:
    """Returns the two-sided p-value of a difference from its bootstrap replicates.

    It is twice the fraction of the replicates on the rarer side of 0. The sample counts as one of them, so it is never
    0 (Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 4.2.4).

    Args:
        differences: shape (replicates,); NaN where a replicate has one class only.

    Returns:
        None where too few replicates are defined, see `bootstrap.MIN_DEFINED`.
    """
    defined = differences[~np.isnan(differences)]
    if defined.size == 0 or defined.size < MIN_DEFINED * differences.size:
        return None
    rarer = min(int(np.count_nonzero(defined <= 0)), int(np.count_nonzero(defined >= 0)))
    return min(1.0, 2 * (1 + rarer) / (1 + defined.size))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Corrects p-values for their number by the step-down procedure of Holm (Scand. J. Statist. 6, 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]

    Args:
        p_values: None where a difference has none; it does not count.

    Returns:
        The corrected ones, in the same order.
    """
    defined = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(defined):
        largest = max(largest, min(1.0, p * (len(defined) - rank)))
        corrected[place] = largest
    return corrected
