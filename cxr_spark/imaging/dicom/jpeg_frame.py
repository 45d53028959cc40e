"""Frames of a DICOM image that are compressed as JPEG, JPEG-LS or JPEG 2000. Needs the extra `dicom`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging import jpeg
from cxr_spark.imaging.dicom.file import rejecting
from cxr_spark.imaging.dicom.header import DicomHeader
from cxr_spark.imaging.jpeg_scans import CHECKED_PROCESSES, check_scans
from cxr_spark.imaging.jpeg_segments import FRAMES, JPEG_LS_FRAME, START_OF_SCAN, Frame, Segment, read_frame, segments
from cxr_spark.imaging.rejected import CORRUPT, TRUNCATED, ImageRejected

_SIZE_2000 = b"\xff\x4f\xff\x51"  # start of a JPEG 2000 codestream and of its SIZ segment (T.800, A.5.1)
_END_2000 = b"\xff\xd9"
#: libjpeg-turbo decodes these processes with its warnings as errors: baseline and extended, of 8 bits.
_STRICT_PROCESSES = frozenset({0xC0, 0xC1})
#: Segments that say what the colours are: marker, first bytes, and the bytes below which libjpeg does not heed them.
_COLOUR_MARKS = ((0xE0, b"JFIF\0", 14), (0xEE, b"Adobe", 12))
#: A segment of Adobe's (T.872, 6.5.3) which says that the colours were not transformed: they are RGB.
_UNTRANSFORMED = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


def decode_jpeg(frame: bytes, header: DicomHeader) -> NDArray[Any]:
    """Decodes a frame of JPEG (8 to 16 bits, lossless too) or JPEG-LS.

    Colours that carry no mark of their own are what the header says: RGB, or YCbCr. Bytes after the end are ignored.

    Args:
        frame: the encoded frame.
        header: the header of the file.

    Returns:
        Integers of 8 or 16 bits, shape (height, width) or, as RGB, (height, width, 3).

    Raises:
        ImageRejected: the frame is damaged, cut short, or of another size than the header says.
    """
    import imagecodecs

    size, marked, scans, end = None, False, 0, 0
    if not frame.startswith(b"\xff\xd8"):
        raise ImageRejected(CORRUPT, "compressed DICOM pixels do not begin as a JPEG does")
    for segment in segments(frame):
        if segment.code in FRAMES:
            size = read_frame(frame, segment)
        marked = marked or _marks_colours(frame, segment)
        scans += segment.code == START_OF_SCAN
        end = segment.end
    if size is None or not scans:
        raise ImageRejected(CORRUPT, "compressed DICOM pixels without a frame header")
    _check_size(size.width, size.height, size.components, header)
    frame = frame[:end]
    if header.samples == 3 and header.photometric == "RGB" and not marked and size.process != JPEG_LS_FRAME:
        frame = frame[:2] + _UNTRANSFORMED + frame[2:]
    with rejecting("pixels"):
        if size.process == JPEG_LS_FRAME:
            return np.asarray(imagecodecs.jpegls_decode(frame))
        if _is_decoded_strictly(size):
            values = jpeg.decode_strictly(frame, "GRAY" if header.samples == 1 else "RGB")
            return values[:, :, 0] if header.samples == 1 else values
        if size.process in CHECKED_PROCESSES:  # 12 bits or lossless: the decoder below never reports damage
            check_scans(frame)
        return np.asarray(imagecodecs.jpeg8_decode(frame))


def decode_jpeg_2000(frame: bytes, header: DicomHeader) -> NDArray[Any]:
    """Decodes a frame of JPEG 2000. Arguments, result and errors are those of `decode_jpeg`."""
    import imagecodecs

    start = frame.find(_SIZE_2000)
    segment = frame[start + 4 : start + 42]
    if start < 0 or len(segment) < 38:
        raise ImageRejected(CORRUPT, "compressed DICOM pixels without a JPEG 2000 header")
    # Width and height of the reference grid, then where in it the image begins, from left and top: T.800, A.5.1.
    width, height, left, top = (int.from_bytes(segment[i : i + 4], "big") for i in (4, 8, 12, 16))
    _check_size(width - left, height - top, int.from_bytes(segment[36:38], "big"), header)
    # No two bytes of the compressed data are FFD9, so this is the end whatever padding follows.
    if frame.find(_END_2000, start) < 0:
        raise ImageRejected(TRUNCATED, f"compressed DICOM pixels end after {len(frame)} bytes without an end marker")
    # From where the image itself starts. Some writers put the header of a .jp2 file before it, which DICOM forbids
    # (PS3.5, A.4.4) and nothing here needs; the library's reader of that header has had holes (CVE-2025-54874).
    with rejecting("pixels"):
        return np.asarray(imagecodecs.jpeg2k_decode(frame[start:]))


def _marks_colours(frame: bytes, segment: Segment) -> bool:
    content = frame[segment.start : segment.end]
    return any(
        segment.code == code and content.startswith(start) and len(content) >= least
        for code, start, least in _COLOUR_MARKS
    )


def _is_decoded_strictly(size: Frame) -> bool:
    return jpeg.IS_STRICT and size.process in _STRICT_PROCESSES and size.precision == 8


def _check_size(width: int, height: int, channels: int, header: DicomHeader) -> None:
    if (width, height, channels) != (header.width, header.height, header.samples):
        raise ImageRejected(
            CORRUPT,
            f"DICOM header of {header.width} x {header.height} x {header.samples} with a compressed image of "
            f"{width} x {height} x {channels}",
        )
