"""Perceptual hashes: bits that hardly change when an image is compressed, resized or made brighter.

The difference hash (dHash) shrinks an image to `side` rows of `side + 1` pixels and tells of each pixel whether its
right neighbour is brighter. Source: N. Krawetz, "Kind of Like That", The Hacker Factor Blog, 2013; bits and filter are
those that the library imagehash publishes for its `dhash`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: The sides of the two hashes of an image: 64 bits to find candidates, 256 bits to judge them by.
SMALL, LARGE = 8, 16
#: Bytes of both together.
HASH_BYTES = (SMALL**2 + LARGE**2) // 8


def dhash(pixels: NDArray[np.uint8], side: int) -> bytes:
    """Returns the difference hash of a grey image.

    Args:
        pixels: uint8 (H, W).
        side: bits in a row of the hash, and rows.

    Returns:
        `side` * `side` bits, row by row, the first one highest.
    """
    small = np.asarray(Image.fromarray(pixels).resize((side + 1, side), Image.Resampling.LANCZOS))
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes()


def both_hashes(pixels: NDArray[np.uint8]) -> bytes:
    """Returns the small and the large hash, one behind the other: `HASH_BYTES` bytes."""
    return dhash(pixels, SMALL) + dhash(pixels, LARGE)
