"""DICOM to grey. Needs the extra `dicom`.

Radiographs of one frame are read (CR, DX, secondary captures): unsigned and signed, 8 to 16 bits, grey or colour, plain
or compressed, with or without the 128 bytes and `DICM` of DICOM PS3.10 in front.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.dicom.file import is_dicom, rejecting
from cxr_spark.imaging.dicom.frame import decode_frame
from cxr_spark.imaging.dicom.grey import grey_of_colour, to_grey
from cxr_spark.imaging.dicom.header import GREY, DicomHeader, read_header

__all__ = ["decode", "is_dicom", "read_header"]


def decode(header: DicomHeader) -> NDArray[np.uint8]:
    """Decodes the pixels of a DICOM file to grey.

    Args:
        header: what `read_header` gave for it.

    Returns:
        uint8 array of shape (height, width); 0 is black.

    Raises:
        ImageRejected: the pixels are damaged, cut short, or compressed in a way that is not read.
    """
    with rejecting("pixels"):
        values = decode_frame(header)
        return to_grey(values, header) if header.photometric in GREY else grey_of_colour(values, header)
