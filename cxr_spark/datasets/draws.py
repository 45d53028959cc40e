"""Draws that depend on a seed and on names alone: what is kept together in them, and in which order it is drawn.

Splits, samples and folds are all drawn by these two functions. Another text or another hash would draw other images by
the same seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def units_of(patients: Iterable[object], images: Iterable[object]) -> list[str]:
    """Returns what is kept together, for each image: its patient, or the image itself where the patient is not known.

    >>> units_of(["17", None], ["a.png", "b.png"])
    ['patient 17', 'image b.png']

    Args:
        patients: N patients; None where one is not known.
        images: the N names of the images.
    """
    return [
        f"image {image}" if patient is None else f"patient {patient}"
        for patient, image in zip(patients, images, strict=True)
    ]


def place_in_draw(seed: int, purpose: str, name: str) -> bytes:
    """Returns the place of a name in a draw: names are drawn in the order of these hashes.

    Args:
        seed: the seed of the draw.
        purpose: what is drawn. Draws of one seed for two purposes have nothing to do with each other.
        name: the name of what may be drawn.
    """
    told = f"{seed} {purpose} {name}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(told, digest_size=16).digest()
