"""Colour to grey and 16 bits to 8: one formula for every format."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

_Depth = TypeVar("_Depth", np.uint8, np.uint16)

#: The value of 16 bits that is white, unless a setting says otherwise.
WHITE_LEVEL = 65535
#: round(v * 255 / 65535) for every v; 65535 = 255 * 257 and no tie can occur, so integers are exact.
_SIXTEEN_TO_EIGHT = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)


def luma(pixels: NDArray[_Depth]) -> NDArray[_Depth]:
    """Converts pixels to grey, of the same dtype; alpha is dropped.

    The formula is ITU-R BT.601 luma, 0.299 R + 0.587 G + 0.114 B, by OpenCV's `cvtColor`. A JPEG stores this very
    quantity (JFIF), so that grey of all formats agrees.

    Args:
        pixels: uint8 or uint16 (H, W, C); C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).

    Returns:
        Contiguous array of shape (H, W).
    """
    channels = pixels.shape[2]
    if channels <= 2:
        return np.ascontiguousarray(pixels[:, :, 0])
    code = cv2.COLOR_RGB2GRAY if channels == 3 else cv2.COLOR_RGBA2GRAY
    grey: NDArray[_Depth] = cv2.cvtColor(pixels, code)
    return grey


def to_8_bit(grey: NDArray[np.uint16], white_level: int = WHITE_LEVEL) -> NDArray[np.uint8]:
    """Maps 0..white_level to 0..255, rounded to the nearest; what is above is white.

    Args:
        grey: uint16 of any shape.
        white_level: the value that is white, 1 to 65535.

    Returns:
        uint8 of the same shape.
    """
    table = _SIXTEEN_TO_EIGHT if white_level == WHITE_LEVEL else _table(white_level)
    small: NDArray[np.uint8] = table[grey]
    return small


@cache
def _table(white_level: int) -> NDArray[np.uint8]:
    values = np.minimum(np.arange(65536, dtype=np.uint32), white_level)
    return ((values * 510 + white_level) // (2 * white_level)).astype(np.uint8)
