"""Counts the pairs that the AUC is made of, for many weightings of the same images: the inner loop of the bootstrap.

Nothing here needs Spark.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.compiled import compiled


def weighted_pair_counts(
    scores: NDArray[np.float64],
    labels: NDArray[np.bool_],
    patients: NDArray[np.int64],
    weights: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Counts positives, negatives and 2U for many weightings of the same rows in one pass over them.

    Args:
        scores: shape (n,), ascending.
        labels: shape (n,), whether the finding is present.
        patients: shape (n,), for each image the row of `weights` that belongs to its patient.
        weights: shape (n_patients, n_weightings): how many times a patient's images count.

    Returns:
        n_positive, n_negative and 2U, each int64 of shape (n_weightings,).
    """
    width = weights.shape[1]
    counts = (np.zeros(width, np.int64), np.zeros(width, np.int64), np.zeros(width, np.int64))
    _count_pairs(scores, labels, patients, weights, *counts)
    return counts


def _count_pairs_loop(
    scores: Any, labels: Any, patients: Any, weights: Any, n_positive: Any, n_negative: Any, twice_u: Any
) -> None:
    # The inner loops run over weightings, which lie side by side in memory, so that the compiler makes them SIMD.
    n, width = scores.shape[0], weights.shape[1]
    tied_positive, tied_negative = np.zeros(width, np.int64), np.zeros(width, np.int64)
    first = 0
    while first < n:
        after = first + 1
        while after < n and scores[after] == scores[first]:
            after += 1
        if after == first + 1:  # the usual case: no tie
            weight = weights[patients[first]]
            if labels[first]:
                for b in range(width):
                    n_positive[b] += weight[b]
                    twice_u[b] += 2 * n_negative[b] * weight[b]
            else:
                for b in range(width):
                    n_negative[b] += weight[b]
        else:
            tied_positive[:] = 0
            tied_negative[:] = 0
            for row in range(first, after):
                weight = weights[patients[row]]
                tied = tied_positive if labels[row] else tied_negative
                for b in range(width):
                    tied[b] += weight[b]
            for b in range(width):
                twice_u[b] += tied_positive[b] * (2 * n_negative[b] + tied_negative[b])
                n_positive[b] += tied_positive[b]
                n_negative[b] += tied_negative[b]
        first = after


_count_pairs = compiled(_count_pairs_loop)
