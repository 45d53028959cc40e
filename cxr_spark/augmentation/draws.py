"""Random draws that depend on nothing but (seed, epoch, image, stage): never on workers, batches or order.

A counter-based generator: each draw is a hash of its coordinates, so there is no state to share, seed or restore.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# splitmix64: increment and finaliser of Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
# OOPSLA 2014 (the finaliser is variant 13 of Stafford's).
_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLY_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = np.uint64(0x94D049BB133111EB)


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
        count: numbers an image.
        seed: of the run.
        epoch: from 0.
        stage: the name of the stage that draws; each stage has a stream of its own.

    Returns:
        float64 (N, count), uniform in [0, 1), multiples of 2^-53.
    """
    stream = np.full(1, image_key(stage), dtype=np.uint64)
    for coordinate in (seed, epoch):
        stream = _mix(stream + _GOLDEN_GAMMA) ^ np.uint64(coordinate % 2**64)
    # The keys come in after a full mixing of the stream, and are mixed again before the counters: the draws of two
    # streams over the same images, and of neighbouring counters, share no structure.
    images = _mix(_mix(stream + _GOLDEN_GAMMA) ^ keys)
    counters = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN_GAMMA
    bits = _mix(images[:, None] + counters)
    return (bits >> np.uint64(11)) * 2.0**-53


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * _MULTIPLY_1
    x = (x ^ (x >> np.uint64(27))) * _MULTIPLY_2
    return x ^ (x >> np.uint64(31))
