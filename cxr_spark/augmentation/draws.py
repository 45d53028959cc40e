"""Random draws that depend on nothing but (seed, epoch, image, stage): never on workers, batches or order.

Each draw is a hash of these coordinates; `splitmix.py` says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cxr_spark.augmentation.splitmix import GOLDEN_GAMMA, mix


def image_key(image_index: str) -> int:
    """Returns the 64-bit key of an image: the first 8 bytes (little endian) of BLAKE2b of its index in UTF-8."""
    digest = hashlib.blake2b(image_index.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def image_keys(image_indices: Iterable[str]) -> NDArray[np.uint64]:
    """Returns the keys of many images, uint64 of shape (N,)."""
    return np.fromiter((image_key(name) for name in image_indices), dtype=np.uint64)


def uniforms(keys: NDArray[np.uint64], count: int, *, seed: int, epoch: int, stage: str) -> NDArray[np.float64]:
    """Draws numbers for each image.

    Args:
        keys: (N,) keys of the images, as `image_keys` gives them.
        count: how many numbers each image gets.
        seed: the seed of the run.
        epoch: the number of the epoch, from 0.
        stage: the name of the stage that draws; each stage has a stream of its own.

    Returns:
        float64 (N, count), uniform in [0, 1), multiples of 2^-53.
    """
    stream = np.full(1, image_key(stage), dtype=np.uint64)
    for coordinate in (seed, epoch):
        stream = mix(stream + GOLDEN_GAMMA) ^ np.uint64(coordinate % 2**64)
    # The keys come in after a full mixing of the stream, and are mixed again before the counters: the draws of two
    # streams over the same images, and of neighbouring counters, share no structure.
    images = mix(mix(stream + GOLDEN_GAMMA) ^ keys)
    counters = np.arange(1, count + 1, dtype=np.uint64) * GOLDEN_GAMMA
    bits = mix(images[:, None] + counters)
    drawn: NDArray[np.float64] = (bits >> np.uint64(11)) * 2.0**-53
    return drawn
