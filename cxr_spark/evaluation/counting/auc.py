"""The area under the ROC curve as an exact count of pairs.

The AUC is the probability that a positive image scores above a negative one, ties counted half (Hanley and McNeil,
Radiology 143, 1982): U / (n_positive * n_negative) with the Mann-Whitney statistic U. Here 2U is counted in integers,
so neither the order of the rows nor the way they are spread over machines can change a digit.

Nothing here needs Spark.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def auc_of_counts(twice_u: int, n_positive: int, n_negative: int) -> float | None:
    """Returns the AUC from 2U and the class counts, rounded once; None where a class is empty."""
    if n_positive == 0 or n_negative == 0:
        return None
    return int(twice_u) / (2 * int(n_positive) * int(n_negative))


def roc_auc(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Computes the exact AUC of one finding in memory.

    >>> roc_auc([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
    0.875

    Args:
        scores: shape (n,), any real dtype.
        labels: shape (n,): 1 for present, 0 for absent, NaN for not known (left out).

    Returns:
        The AUC with ties counted half, or None where there are not both classes.

    Raises:
        ValueError: a score is NaN, or the shapes differ.
    """
    values, truth = np.asarray(scores), np.asarray(labels, dtype=np.float64)
    if values.shape != truth.shape or values.ndim != 1:
        raise ValueError(f"scores {values.shape} and labels {truth.shape} must be one-dimensional and of one length")
    if np.isnan(values).any():
        raise ValueError("a score is NaN")
    positive, negative = values[truth == 1], np.sort(values[truth == 0])
    below_or_tied_half = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return auc_of_counts(int(below_or_tied_half.sum(dtype=np.int64)), positive.size, negative.size)


def macro_micro_auc(scores: ArrayLike, labels: ArrayLike) -> tuple[float | None, float | None]:
    """Computes macro and micro AUC in memory, as training does on its validation split.

    Args:
        scores: shape (n, n_findings).
        labels: an array of the same shape: 1 for present, 0 for absent, NaN for not known.

    Returns:
        Macro: the mean AUC of the findings that have both classes (None where none has). Micro: the AUC of all
        (image, finding) pairs whose label is known (None where they are of one class).
    """
    values, truth = np.asarray(scores), np.asarray(labels)
    aucs = [roc_auc(values[:, i], truth[:, i]) for i in range(values.shape[1])]
    return mean_of_defined(aucs), roc_auc(values.ravel(), truth.ravel())


def mean_of_defined(values: Sequence[float | None]) -> float | None:
    """Returns the mean of the values that are not None; None where there is none.

    >>> mean_of_defined([0.5, None, 1.0])
    0.75
    """
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None
