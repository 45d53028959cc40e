"""Draws a picture into the bytes of a PNG file, which carries a mark and a text that it is synthetic."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.errors import RunError
from cxr_spark.sample_data.anatomy import SIDES, Anatomy
from cxr_spark.sample_data.cohort import Picture
from cxr_spark.sample_data.patterns import Box, draw, reshaped
from cxr_spark.sample_data.thorax import Scene, finish

#: The smallest side that a scene is drawn at. Smaller pictures are scaled down from it, since thin structures would
#: fall between their pixels.
_SMALLEST_SCENE = 128

#: The text chunk of every PNG.
NOTICE = "SYNTHETIC: drawn by cxr-spark sample-data. It shows no person and says nothing about any disease."
MARK = "SYNTHETIC"
#: Letters of 3 x 5 pixels, the top row first; bit 2 is the left column.
_LETTERS = {
    "S": (7, 4, 7, 1, 7),
    "Y": (5, 5, 2, 2, 2),
    "N": (7, 5, 5, 5, 5),
    "T": (7, 2, 2, 2, 2),
    "H": (5, 5, 7, 5, 5),
    "E": (7, 4, 6, 4, 7),
    "I": (7, 2, 2, 2, 7),
    "C": (7, 4, 4, 4, 7),
}
#: The size in pixels of the mark with its margin: no smaller picture can carry it.
MARK_WIDTH, MARK_HEIGHT = 4 * len(MARK) + 1, 7


def draw_picture(picture: Picture, size: int, seed: int) -> tuple[bytes, list[tuple[str, Box]]]:
    """Draws a picture.

    Args:
        picture: the description of the picture.
        size: the side in pixels, at least `MARK_WIDTH`.
        seed: the seed of the set. Together with the picture's numbers it decides every pixel.

    Returns:
        A grey 8-bit PNG of size x size, and the boxes of its findings as fractions of the side.
    """
    patient = np.random.default_rng([seed, picture.patient])
    rng = np.random.default_rng([seed, picture.patient, picture.follow_up])
    anatomy = Anatomy.of_patient(patient, female=picture.sex == "F")
    sides = {finding: int(rng.choice(SIDES)) for finding in picture.findings}
    anatomy = reshaped(anatomy.lying() if picture.view == "AP" else anatomy, sides)
    scene = Scene(max(size, _SMALLEST_SCENE), anatomy, rng)
    boxes = draw(scene, sides, rng)
    pixels = finish(scene, size, rng)
    _burn_mark(pixels)
    return _png(pixels), boxes


def _burn_mark(pixels: NDArray[np.uint8]) -> None:
    """Writes the mark into the lower left corner. It is the same in every picture, so it tells nothing about labels."""
    scale = max(1, pixels.shape[0] // 128)
    mark = np.zeros((MARK_HEIGHT, MARK_WIDTH), dtype=np.uint8)
    for place, letter in enumerate(MARK):
        for row, bits in enumerate(_LETTERS[letter]):
            for column in range(3):
                if bits >> (2 - column) & 1:
                    mark[1 + row, 1 + 4 * place + column] = 230
    large = np.kron(mark, np.ones((scale, scale), dtype=np.uint8))
    pixels[-large.shape[0] :, : large.shape[1]] = large


def _png(pixels: NDArray[np.uint8]) -> bytes:
    done, encoded = cv2.imencode(".png", pixels)
    if not done:
        raise RunError(f"OpenCV could not write a PNG of shape {pixels.shape}")
    data = encoded.tobytes()
    text = b"tEXt" + b"Comment\0" + NOTICE.encode("latin-1")
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    head = 8 + 25  # the signature and the header chunk, which comes first (PNG specification, 5.6)
    return data[:head] + chunk + data[head:]
