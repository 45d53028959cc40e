"""Draws bootstrap weights of patients, which any machine can compute for itself, and makes intervals from replicates.

Images of one patient are not independent, so patients are resampled, with all their images. Instead of drawing n of n
patients, each patient counts Poisson(1) times in a replicate (Hanley and MacGibbon, "Creating non-parametric bootstrap
samples using Poisson frequencies", Comput. Methods Programs Biomed. 83, 2006; Chamandy et al., "Estimating uncertainty
for massive data streams", Google technical report, 2012): weights then need no coordination. They are drawn from a hash
of (seed, patient, replicate), so they do not depend on how rows are ordered or spread.

Nothing here needs Spark.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cxr_spark.augmentation.splitmix import GOLDEN_GAMMA, mix

#: An interval needs this fraction of the replicates to have both classes. 3 positive patients give 95 %, for example.
MIN_DEFINED = 0.95

_ROWS_AT_ONCE = 4096


def poisson_weights(patients: NDArray[np.int64], seed: int, first: int, stop: int) -> NDArray[np.uint8]:
    """Draws how many times each patient counts in some of the replicates.

    Replicate 0 is the sample as it is: all weights are 1. For every other one a patient's own SplitMix64 generator
    (Steele, Lea and Flood, OOPSLA 2014), started from a hash of patient and seed, gives one number, which becomes a
    Poisson(1) variate by inversion.

    Args:
        patients: shape (n,), 64-bit keys of patients.
        seed: the seed of the whole bootstrap.
        first: the number of the first replicate.
        stop: the number after that of the last replicate.

    Returns:
        uint8 of shape (n, stop - first).
    """
    hashed_seed = mix(np.array([seed % 2**64], dtype=np.uint64) + GOLDEN_GAMMA)
    start = mix((patients.view(np.uint64) ^ hashed_seed) + GOLDEN_GAMMA)
    # The replicate k takes the number k + 1 of its patient's generator.
    steps = np.arange(first + 1, stop + 1, dtype=np.uint64) * GOLDEN_GAMMA
    weights = np.empty((patients.size, steps.size), dtype=np.uint8)
    for row in range(0, patients.size, _ROWS_AT_ONCE):
        rows = slice(row, row + _ROWS_AT_ONCE)
        uniform = mix(start[rows, None] + steps)
        drawn = weights[rows]
        drawn[:] = 0
        for threshold in _POISSON_THRESHOLDS:
            drawn += uniform >= threshold
    if first == 0 and stop > 0:
        weights[:, 0] = 1
    return weights


def percentile_interval(replicates: NDArray[np.float64]) -> list[float] | None:
    """Returns the 95 % percentile interval.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3.

    Args:
        replicates: shape (n,); NaN where a replicate has one class only.

    Returns:
        The 2.5 % and 97.5 % quantiles of the defined replicates; None where fewer than `MIN_DEFINED` are defined.
    """
    defined = replicates[~np.isnan(replicates)]
    if defined.size == 0 or defined.size < MIN_DEFINED * replicates.size:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return [float(low), float(high)]


def _poisson_thresholds() -> list[np.uint64]:
    """Returns the cumulative probabilities of Poisson(1) as 64-bit fractions: the variate is how many are reached."""
    thresholds, probability, total = [], math.exp(-1), 0.0
    for k in range(1, 20):
        total += probability
        if total >= 1.0:
            break
        thresholds.append(np.uint64(int(total * 2.0**64)))
        probability /= k
    return thresholds


_POISSON_THRESHOLDS = _poisson_thresholds()
