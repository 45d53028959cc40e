"""DeLong's test of two AUCs on the same images. Nothing here needs Spark.

Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; computed from midranks (Sun and Xu, IEEE Signal
Processing Letters 21, 2014), which takes a sort in place of a comparison of all pairs. It takes images as independent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def difference_and_variance(
    scores: NDArray[np.float64], baseline: NDArray[np.float64], labels: NDArray[np.bool_]
) -> tuple[float, float] | None:
    """Returns the difference of the AUCs of two models, and its variance.

    The rows are sorted first, so that their order changes no digit.

    Args:
        scores: shape (n,), of the one model.
        baseline: shape (n,), of the other.
        labels: shape (n,), whether the finding is present.

    Returns:
        None where a class has fewer than two images: a variance needs two.
    """
    order = np.lexsort((baseline, scores, labels))
    positive = int(labels.sum())
    negative = labels.size - positive
    if min(positive, negative) < 2:
        return None
    placed = [_placements(values[order], negative) for values in (scores, baseline)]
    of_negatives, of_positives = (one - other for one, other in zip(*placed, strict=True))
    variance = of_positives.var(ddof=1) / positive + of_negatives.var(ddof=1) / negative
    return float(of_positives.mean()), float(variance)


def _placements(values: NDArray[np.float64], negative: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns for each image the share of images of the other class on its right side, ties counted half.

    Args:
        values: shape (n,), the negatives first.
        negative: the number of negatives.

    Returns:
        For the negatives the share of positives above them, for the positives the share of negatives below them. The
        mean of each is the AUC.
    """
    among_all = midranks(values)
    below, above = midranks(values[:negative]), midranks(values[negative:])
    positive = values.size - negative
    return 1 - (among_all[:negative] - below) / positive, (among_all[negative:] - above) / negative


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the rank of each value from 1, equal ones sharing the mean of their ranks.

    >>> midranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = ((2 * last - counts + 1) / 2)[place]
    return ranks
