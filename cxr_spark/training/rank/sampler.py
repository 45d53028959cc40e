"""In which order a worker goes through its images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxr_spark.training.balance import sampling_weights


def epoch_order(
    images: int, needed: int, *, seed: int, epoch: int, worker: int, chances: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """Returns a worker's images in the order of an epoch.

    Each comes once, and the first ones again to fill the last batch; or as often as balancing draws it.

    Args:
        images: that the worker has.
        needed: how many it trains on in an epoch.
        seed: of the training.
        epoch: from 0.
        worker: its number.
        chances: of `draw_chances`; None: each image once.

    Returns:
        int64 (needed,), positions among the worker's images.
    """
    generator = np.random.Generator(np.random.PCG64([seed, epoch, worker]))
    if chances is not None:
        return generator.choice(images, needed, p=chances)
    return np.resize(generator.permutation(images), needed)


def draw_chances(labels: NDArray[np.float32], start: int, end: int) -> NDArray[np.float64]:
    """Returns how likely each image of a worker is drawn, where rare findings are drawn more often.

    Args:
        labels: (N, K) of all training images.
        start: the worker's first image.
        end: one past its last.

    Returns:
        float64 (end - start,), of sum 1.
    """
    chances = sampling_weights(labels)[start:end]
    result: NDArray[np.float64] = chances / chances.sum()
    return result
