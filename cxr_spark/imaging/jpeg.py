"""JPEG to grey: the structure is checked from start to end here, the decoding is OpenCV's (libjpeg-turbo).

The decoder fills what is missing of a cut file with grey, without a word, so the end marker is looked for first.
JPEG has no checksum: damage inside the compressed data that leaves all markers in place cannot be noticed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.rejected import CORRUPT, TRUNCATED, UNSUPPORTED_FORMAT, ImageRejected

SIGNATURE = b"\xff\xd8\xff"

# Marker codes: ITU-T T.81, table B.1.
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_READABLE_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive Huffman
#: Ends the compressed data: stuffed FF bytes and restart markers are part of it.
_MARKER_IN_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)
#: A progressive file has about ten scans; each is a pass over the whole image, so a file of thousands is an attack.
_MAX_SCANS = 200


class JpegHeader(NamedTuple):
    """The frame header; EXIF orientation is not applied."""

    width: int
    height: int


def read_header(data: memoryview) -> JpegHeader:
    """Walks over all segments of a JPEG file, without decoding it.

    Args:
        data: the file, which begins with `SIGNATURE`.

    Raises:
        ImageRejected: the file has no end or no frame, its segments do not fit together, or its kind is not read.
    """
    header = None
    scans = 0
    position = 2
    while True:
        code, position = _next_marker(data, position)
        if code == _END_OF_IMAGE:
            break
        end = position + _segment_length(data, position)
        if code in _FRAMES:
            if header is not None:
                raise ImageRejected(CORRUPT, "JPEG with two frames")
            header = _read_frame(code, data[position + 2 : end])
        elif code == _START_OF_SCAN:
            scans += 1
            if scans > _MAX_SCANS:
                raise ImageRejected(CORRUPT, f"JPEG of more than {_MAX_SCANS} scans")
            found = _MARKER_IN_SCAN.search(data, end)
            if found is None:
                raise ImageRejected(TRUNCATED, f"JPEG ends at byte {len(data)} without an end marker")
            end = found.start()
        position = end
    if header is None or not scans:
        raise ImageRejected(CORRUPT, "JPEG without image data")
    return header


def decode(data: memoryview, header: JpegHeader) -> NDArray[np.uint8]:
    """Decodes a JPEG file to grey: its luma channel, or the luma of its colours, turned as its EXIF orientation says.

    Args:
        data: the whole file.
        header: what `read_header` gave for it.

    Returns:
        uint8 array of shape (height, width), or (width, height) where the orientation lays the image on its side.

    Raises:
        ImageRejected: the decoder gives up.
    """
    try:
        image: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise ImageRejected(CORRUPT, f"JPEG cannot be decoded: {error.err}") from error
    if image is None:
        raise ImageRejected(CORRUPT, "JPEG cannot be decoded")
    if image.ndim != 2 or sorted(image.shape) != sorted((header.height, header.width)):
        raise ImageRejected(CORRUPT, f"JPEG of {header.width} x {header.height} decodes to shape {image.shape}")
    return image


def _next_marker(data: memoryview, position: int) -> tuple[int, int]:
    """Returns the code of the marker at a position, which may be led by fill bytes, and the position after it."""
    start = position
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position >= len(data):
        raise ImageRejected(TRUNCATED, f"JPEG ends at byte {len(data)} without an end marker")
    if position == start:
        raise ImageRejected(CORRUPT, f"JPEG has no marker at byte {position}")
    return data[position], position + 1


def _segment_length(data: memoryview, position: int) -> int:
    length = int.from_bytes(data[position : position + 2], "big")
    if position + max(length, 2) > len(data):
        raise ImageRejected(TRUNCATED, f"JPEG ends at byte {len(data)} inside a segment")
    if length < 2:
        raise ImageRejected(CORRUPT, f"JPEG segment of length {length} at byte {position}")
    return length


def _read_frame(code: int, segment: memoryview) -> JpegHeader:
    if len(segment) < 6:
        raise ImageRejected(CORRUPT, f"JPEG frame header of {len(segment)} bytes")
    precision = segment[0]
    if code not in _READABLE_FRAMES or precision != 8:
        raise ImageRejected(UNSUPPORTED_FORMAT, f"JPEG process SOF{code - 0xC0} with {precision} bits")
    height = int.from_bytes(segment[1:3], "big")
    width = int.from_bytes(segment[3:5], "big")
    if not height or not width:
        raise ImageRejected(UNSUPPORTED_FORMAT, f"JPEG of {width} x {height} pixels")
    return JpegHeader(width, height)
