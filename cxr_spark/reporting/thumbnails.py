"""Small pictures of radiographs within a page."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.resize import resize

_QUALITY = 75
Name = TypeVar("Name")


def thumbnail(pixels: NDArray[np.uint8], side: int) -> str:
    """Returns an image as a `data:` address of a JPEG, which a page can show without another file.

    Args:
        pixels: uint8 (S, S), grey.
        side: the largest side of the picture in pixels; a smaller image stays as it is.
    """
    return _address(resize(pixels, min(side, pixels.shape[0]), "squash"))


def coloured_thumbnail(pixels: NDArray[np.uint8], side: int) -> str:
    """Returns what `thumbnail` does, of uint8 (S, S, 3) in the order blue, green, red."""
    planes = [np.ascontiguousarray(plane) for plane in np.moveaxis(pixels, 2, 0)]
    return _address(np.dstack([resize(plane, min(side, len(plane)), "squash") for plane in planes]))


def _address(pixels: NDArray[np.uint8]) -> str:
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def in_turn(lists: Iterable[Iterable[Name]]) -> list[Name]:
    """Returns the first of all lists, then the second of all, and on."""
    return [name for turn in zip_longest(*lists) for name in turn if name is not None]


def uses_in_turn(lists: Iterable[Iterable[str]]) -> Counter[str]:
    """Counts how often a page repeats the picture of each image: first the first of all lists, then the second, and on.

    >>> dict(uses_in_turn([["a.png", "b.png"], ["c.png"], ["a.png", "d.png"]]))
    {'a.png': 2, 'c.png': 1, 'b.png': 1, 'd.png': 1}

    Args:
        lists: the names of the images that each part of the page shows, the most important one first.

    Returns:
        The numbers by name, in the order in which `thumbnails` takes them.
    """
    return Counter(in_turn(lists))


def thumbnails(
    pixels: Mapping[str, NDArray[np.uint8]], uses: Mapping[str, int], side: int, most_characters: int
) -> dict[str, str]:
    """Returns the pictures of some images, as many as keep a page small.

    Args:
        pixels: uint8 (S, S), grey, for each image by its name.
        uses: how often the page repeats the picture of each image, the most important image first; those that
            `pixels` lacks are passed over.
        side: see `thumbnail`.
        most_characters: the characters that all pictures of the page may take together.
    """
    made: dict[str, str] = {}
    left = most_characters
    for name, number in uses.items():
        if name in pixels:
            picture = thumbnail(pixels[name], side)
            if number * len(picture) <= left:
                made[name] = picture
                left -= number * len(picture)
    return made
