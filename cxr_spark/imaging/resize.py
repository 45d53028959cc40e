"""Resizing a grey image to a square: squashed, padded, or cropped."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

ResizeMode = Literal["squash", "pad", "crop"]
MODES: tuple[str, ...] = get_args(ResizeMode)


def resize(image: NDArray[np.uint8], size: int, mode: ResizeMode = "squash") -> NDArray[np.uint8]:
    """Resizes an image to a square of size x size pixels.

    An axis that shrinks is averaged over areas (OpenCV's INTER_AREA), one that grows is interpolated linearly
    (INTER_LINEAR).

    Args:
        image: uint8 (H, W).
        size: side of the result in pixels, at least 1.
        mode: `squash` stretches each axis to fit; `pad` keeps the aspect ratio and fills up with black, the image
            in the middle; `crop` keeps the aspect ratio and cuts the middle square.

    Returns:
        Contiguous uint8 array of shape (size, size); it may be `image` itself.

    Raises:
        ValueError: the mode is unknown.
    """
    height, width = image.shape
    if mode == "squash":
        return _scale(image, size, size)
    if mode == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _scale(image[top : top + side, left : left + side], size, size)
    if mode == "pad":
        longest = max(height, width)
        inner_height = max(1, round(height * size / longest))
        inner_width = max(1, round(width * size / longest))
        top, left = (size - inner_height) // 2, (size - inner_width) // 2
        square = np.zeros((size, size), dtype=np.uint8)
        square[top : top + inner_height, left : left + inner_width] = _scale(image, inner_height, inner_width)
        return square
    raise ValueError(f"unknown resize mode {mode!r}: expected one of {', '.join(MODES)}")


def _scale(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Scales to (height, width): first the axes that shrink, then those that grow."""
    smaller = (min(height, image.shape[0]), min(width, image.shape[1]))
    if smaller != image.shape:
        image = cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA)
    if (height, width) != image.shape:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(image)
