"""DICOM's run-length encoding (PS3.5, annex G): a segment for every byte of a value and every channel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.dicom.file import rejecting
from cxr_spark.imaging.dicom.header import DicomHeader
from cxr_spark.imaging.rejected import CORRUPT, TRUNCATED, ImageRejected

_HEADER_BYTES, _MAX_SEGMENTS = 64, 15
#: Segments have an even number of bytes: an encoder may fill one up with a value more than the image has.
_SLACK = 1


def decode(frame: bytes, header: DicomHeader) -> NDArray[Any]:
    """Decodes a frame.

    Args:
        frame: the encoded frame.
        header: the header of the file.

    Returns:
        Unsigned integers of the allocated bits, shape (height, width) or (height, width, 3).

    Raises:
        ImageRejected: the frame holds fewer values than the header promises, or is damaged.
    """
    value_bytes = header.bits_allocated // 8
    planes = header.samples * value_bytes
    if len(frame) < _HEADER_BYTES:
        raise ImageRejected(TRUNCATED, f"RLE pixels of {len(frame)} bytes, expected a header of {_HEADER_BYTES}")
    words = np.frombuffer(frame, "<u4", count=_HEADER_BYTES // 4).tolist()
    count, offsets = words[0], words[1 : 1 + _MAX_SEGMENTS]
    if count != planes:
        raise ImageRejected(CORRUPT, f"RLE pixels in {count} segments, expected {planes}")
    ends = [*offsets[1:count], len(frame)]
    pixels = np.empty((header.samples, header.height * header.width, value_bytes), np.uint8)
    for number, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        if not _HEADER_BYTES <= start < end <= len(frame):
            raise ImageRejected(CORRUPT, f"RLE segment from byte {start} to {end} of {len(frame)}")
        # The highest byte of a value comes first.
        channel, byte = divmod(number, value_bytes)
        pixels[channel, :, value_bytes - 1 - byte] = _plane(frame[start:end], header.height * header.width)
    values = pixels.view(f"<u{value_bytes}").reshape(header.samples, header.height, header.width)
    return values[0] if header.samples == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))


def _plane(segment: bytes, expected: int) -> NDArray[np.uint8]:
    import imagecodecs

    with rejecting("RLE pixels"):
        decoded = imagecodecs.packbits_decode(segment, out=bytearray(expected + _SLACK))
    if len(decoded) < expected:
        raise ImageRejected(TRUNCATED, f"RLE segment holds {len(decoded)} of {expected} bytes")
    return np.frombuffer(decoded, np.uint8, count=expected)
