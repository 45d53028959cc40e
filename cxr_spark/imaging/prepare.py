"""Turns the bytes of a file into the pixels that a network sees. Preparing, scoring and explaining all use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.decode import decode_image
from cxr_spark.imaging.grey import WHITE_LEVEL
from cxr_spark.imaging.resize import ResizeMode, resize


class PreparedImage(NamedTuple):
    """A decoded and resized image.

    Attributes:
        pixels: contiguous uint8 array of shape (size, size).
        height: height of the original in pixels.
        width: width of the original in pixels.
        used_bits: the number of bits that the highest value of a 16-bit PNG needs; None for all other files.
    """

    pixels: NDArray[np.uint8]
    height: int
    width: int
    used_bits: int | None = None


def prepare_image(
    data: bytes | memoryview, size: int, mode: ResizeMode = "squash", white_level: int | None = None
) -> PreparedImage:
    """Decodes an image file and resizes it to a square.

    Args:
        data: the contents of a PNG, JPEG or DICOM file.
        size: side of the result in pixels.
        mode: see `resize`.
        white_level: the value of a PNG with 16 bits that is white; None for 65535.

    Raises:
        ImageRejected: the file cannot be used; its `reason` says why.
    """
    image = decode_image(data, white_level or WHITE_LEVEL)
    height, width = image.grey.shape
    return PreparedImage(resize(image.grey, size, mode), height, width, image.used_bits)


class Form(NamedTuple):
    """How an image file becomes a square of pixels.

    Attributes:
        size: side of the result in pixels.
        mode: see `resize`.
        white_level: the value of a PNG with 16 bits that is white; None for 65535.
    """

    size: int
    mode: ResizeMode
    white_level: int | None = None


def prepare_forms(data: bytes | memoryview, forms: Iterable[Form]) -> list[NDArray[np.uint8]]:
    """Decodes an image file once, and resizes it to several forms; equal forms share one array.

    It is decoded anew only where forms differ in their white level.

    Args:
        data: the contents of a PNG, JPEG or DICOM file.
        forms: what is wanted.

    Returns:
        uint8 (size, size) for each form.

    Raises:
        ImageRejected: the file cannot be used; its `reason` says why.
    """
    decoded: dict[int, NDArray[np.uint8]] = {}
    made: dict[Form, NDArray[np.uint8]] = {}
    wanted = list(forms)
    for form in wanted:
        level = form.white_level or WHITE_LEVEL
        if level not in decoded:
            decoded[level] = decode_image(data, level).grey
        if form not in made:
            made[form] = resize(decoded[level], form.size, form.mode)
    return [made[form] for form in wanted]


def use_one_thread() -> None:
    """Keeps OpenCV from starting threads of its own in this process, because Spark's tasks use all cores already."""
    cv2.setNumThreads(0)
