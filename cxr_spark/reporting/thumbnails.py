"""Small pictures of radiographs within a page."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.resize import resize

_QUALITY = 75


def thumbnail(pixels: NDArray[np.uint8], side: int) -> str:
    """Returns an image as a `data:` address of a JPEG, which a page can show without another file.

    Args:
        pixels: uint8 (S, S), grey.
        side: the largest side of the picture in pixels; a smaller image stays as it is.
    """
    scaled = resize(pixels, min(side, pixels.shape[0]), "squash")
    _, encoded = cv2.imencode(".jpg", scaled, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


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
