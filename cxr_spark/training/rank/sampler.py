"""The sampler: decides which images a rank trains on in an epoch, and in which order."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cxr_spark.config import TrainSettings
from cxr_spark.training.balance import sampling_weights
from cxr_spark.training.rank.shards import bounds


class Sampler:
    """Draws the images of one rank for every epoch.

    Without up-sampling a rank goes through its own block of the split: each image comes once, and the first ones again
    to fill the last batch. With up-sampling the images of an epoch are drawn once for all ranks from the whole split,
    and every rank takes its own piece of each global batch. So neither the chances nor the images of a step depend on
    the number of ranks, as they would if every rank drew from its own block: the images of one class lie side by side.

    Args:
        settings: how to train.
        labels: float32 (N, K) of all training images; NaN where not known.
        rank: number of the rank, from 0.
        world: number of ranks.

    Attributes:
        steps: steps of an epoch, the same on all ranks.
    """

    def __init__(self, settings: TrainSettings, labels: NDArray[np.float32], rank: int, world: int) -> None:
        self._settings = settings
        self._images, self._rank, self._world = len(labels), rank, world
        self._batch = settings.global_batch // world
        self.steps = math.ceil(math.ceil(len(labels) / world) / self._batch)
        self._chances = draw_chances(labels, 0, len(labels)) if settings.balancing == "upsample" else None

    def images(self, epoch: int) -> NDArray[np.int64]:
        """Returns the images of this rank in an epoch, in order.

        Args:
            epoch: number of the epoch, from 0.

        Returns:
            int64 (steps * batch of the rank,), positions in the split.
        """
        seed = self._settings.seed
        if self._chances is None:
            start, end = bounds(self._images, self._rank, self._world)
            needed = self.steps * self._batch
            return start + epoch_order(end - start, needed, seed=seed, epoch=epoch, worker=self._rank)
        needed = self.steps * self._batch * self._world
        drawn = epoch_order(self._images, needed, seed=seed, epoch=epoch, worker=0, chances=self._chances)
        return drawn.reshape(self.steps, self._world, self._batch)[:, self._rank].ravel()

    def held(self) -> NDArray[np.int64]:
        """Returns the images that this rank needs in the whole training: int64, positions in the split, ascending."""
        if self._chances is None:
            return np.arange(*bounds(self._images, self._rank, self._world))
        needed = np.zeros(self._images, bool)
        for epoch in range(self._settings.epochs):
            needed[self.images(epoch)] = True
            if needed.all():
                break
        return np.flatnonzero(needed)


def epoch_order(
    images: int, needed: int, *, seed: int, epoch: int, worker: int, chances: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """Returns images in the order of an epoch.

    Each comes once, and the first ones again to fill the last batch; or as often as chance draws it.

    Args:
        images: number of images to choose from.
        needed: number of images of the epoch.
        seed: seed of the training.
        epoch: number of the epoch, from 0.
        worker: number of the rank that the order is for; 0 where it is for all ranks.
        chances: float64 (images,), how likely each image is drawn; None to take each once.

    Returns:
        int64 (needed,), positions among the images.
    """
    generator = np.random.Generator(np.random.PCG64([seed, epoch, worker]))
    if chances is not None:
        return generator.choice(images, needed, p=chances)
    return np.resize(generator.permutation(images), needed)


def draw_chances(labels: NDArray[np.float32], start: int, end: int) -> NDArray[np.float64]:
    """Returns how likely each image of a block is drawn, where images of rare findings are drawn more often.

    Args:
        labels: float32 (N, K) of all training images, which decide what is rare.
        start: first image of the block.
        end: one past the last image of the block.

    Returns:
        float64 (end - start,), whose sum is 1.
    """
    chances = sampling_weights(labels)[start:end]
    result: NDArray[np.float64] = chances / chances.sum()
    return result
