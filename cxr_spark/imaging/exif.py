"""The one EXIF tag that matters for radiographs: how the stored image must be turned to stand upright."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112  # EXIF 2.3, table 4
_SHORT = 3


def read_orientation(segment: bytes | memoryview) -> int:
    """Reads the orientation from the content of an APP1 segment.

    Returns:
        1 to 8 as EXIF 2.3 defines them; 1 (upright) where the segment says nothing usable.
    """
    content = bytes(segment)
    order = {b"II": "<", b"MM": ">"}.get(content[6:8])
    if not content.startswith(_PREFIX) or order is None:
        return 1
    tiff = content[len(_PREFIX) :]
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for i in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * i)
            if tag == _ORIENTATION:
                return value if (kind, count) == (_SHORT, 1) and 1 <= value <= 8 else 1
    except struct.error:  # the directory lies outside the segment
        pass
    return 1


def upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turns and mirrors an image (H, W) as an orientation says; 5 to 8 swap height and width."""
    if orientation >= 5:
        image = image.T
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
