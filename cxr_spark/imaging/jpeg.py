"""JPEG to grey: the structure is checked from start to end, and damage of the image data is an error.

libjpeg fills what is missing of a damaged or cut image with grey and only warns of it. OpenCV and Pillow pass over
these warnings, simplejpeg reports them. Where simplejpeg is not installed, the codes of baseline files are checked by
`jpeg_scans`, which takes longer, and those of progressive files not at all. JPEG has no checksum, so damage that leaves
valid codes in place cannot be noticed.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.exif import read_orientation, upright
from cxr_spark.imaging.grey import luma
from cxr_spark.imaging.jpeg_scans import CHECKED_PROCESSES, check_scans
from cxr_spark.imaging.jpeg_segments import APP1, FRAMES, SIGNATURE, START_OF_SCAN, Frame, read_frame, segments
from cxr_spark.imaging.rejected import CORRUPT, UNSUPPORTED_FORMAT, ImageRejected

try:
    import simplejpeg as _simplejpeg
except ImportError:  # an environment that was made before this package was needed
    _simplejpeg = None

__all__ = ["IS_STRICT", "SIGNATURE", "JpegHeader", "decode", "decode_strictly", "read_header"]

log = logging.getLogger(__name__)

#: Whether the decoder reports damage of the image data itself.
IS_STRICT = _simplejpeg is not None

_READABLE_PROCESSES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive, with Huffman codes
_CMYK = 4  # components


class JpegHeader(NamedTuple):
    """The facts that are needed before an image is decoded.

    Attributes:
        width: pixels of a stored row.
        height: number of stored rows.
        components: number of channels.
        process: second byte of the frame's marker: C0 baseline, C1 extended, C2 progressive.
        orientation: EXIF's number, 1 to 8, of how the stored image must be turned.
    """

    width: int
    height: int
    components: int
    process: int
    orientation: int


def read_header(data: memoryview) -> JpegHeader:
    """Walks over all segments of a JPEG file, without decoding it.

    Args:
        data: the file, which begins with `SIGNATURE`.

    Raises:
        ImageRejected: the file has no end or no frame, its segments do not fit together, or its kind is not read.
    """
    frame, orientation, scans = None, 1, 0
    for segment in segments(data):
        if segment.code in FRAMES:
            if frame is not None:
                raise ImageRejected(CORRUPT, "JPEG with two frames")
            frame = _checked(read_frame(data, segment))
        elif segment.code == START_OF_SCAN:
            scans += 1
        elif segment.code == APP1 and orientation == 1:
            orientation = read_orientation(data[segment.start : segment.end])
    if frame is None or not scans:
        raise ImageRejected(CORRUPT, "JPEG without image data")
    return JpegHeader(frame.width, frame.height, frame.components, frame.process, orientation)


def decode(data: memoryview, header: JpegHeader) -> NDArray[np.uint8]:
    """Decodes a JPEG file to grey: its luma channel, or the luma of its colours, turned as its EXIF orientation says.

    Args:
        data: the whole file.
        header: what `read_header` gave for it.

    Returns:
        uint8 array of shape (height, width), or (width, height) where the orientation lays the image on its side.

    Raises:
        ImageRejected: the decoder gives up, or warns of damage.
    """
    if not IS_STRICT:
        return _decode_without_warnings(data, header)
    if header.components == _CMYK:
        image = _grey_of_cmyk(decode_strictly(data, "CMYK"))
    else:
        image = decode_strictly(data, "GRAY")[:, :, 0]
    if image.shape != (header.height, header.width):
        raise ImageRejected(CORRUPT, f"JPEG of {header.width} x {header.height} decodes to shape {image.shape}")
    return upright(image, header.orientation)


def decode_strictly(data: bytes | memoryview, colours: str) -> NDArray[np.uint8]:
    """Decodes a JPEG of 8 bits; whatever libjpeg warns of is an error.

    Args:
        data: the whole file, its structure checked.
        colours: `GRAY`, `RGB` or `CMYK`.

    Returns:
        uint8 array of shape (height, width, channels).

    Raises:
        ImageRejected: the decoder gives up, or warns of damage.
    """
    try:
        image: NDArray[np.uint8] = _simplejpeg.decode_jpeg(data, colours, strict=True)
    except ValueError as error:
        raise ImageRejected(CORRUPT, f"damaged JPEG: {error}") from error
    return image


def _checked(frame: Frame) -> Frame:
    if frame.process not in _READABLE_PROCESSES or frame.precision != 8:
        raise ImageRejected(UNSUPPORTED_FORMAT, f"JPEG process SOF{frame.process - 0xC0} with {frame.precision} bits")
    if not frame.height or not frame.width:
        raise ImageRejected(UNSUPPORTED_FORMAT, f"JPEG of {frame.width} x {frame.height} pixels")
    return frame


def _grey_of_cmyk(inks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the luma of colours in print inks (H, W, 4), stored inverted as Adobe's programs do (255 is no ink)."""
    black = inks[:, :, 3:].astype(np.uint16)
    return luma((inks[:, :, :3] * black // 255).astype(np.uint8))


def _decode_without_warnings(data: memoryview, header: JpegHeader) -> NDArray[np.uint8]:
    if header.process in CHECKED_PROCESSES:
        check_scans(data)
    else:
        _say_what_is_missing()
    try:
        image: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise ImageRejected(CORRUPT, f"JPEG cannot be decoded: {error.err}") from error
    if image is None:
        raise ImageRejected(CORRUPT, "JPEG cannot be decoded")
    if image.ndim != 2 or sorted(image.shape) != sorted((header.height, header.width)):
        raise ImageRejected(CORRUPT, f"JPEG of {header.width} x {header.height} decodes to shape {image.shape}")
    return image


@cache
def _say_what_is_missing() -> None:
    log.warning(
        "the package simplejpeg is not installed here, so damage inside the data of progressive JPEG files goes "
        "unnoticed: install it on all nodes (pip install simplejpeg)"
    )
