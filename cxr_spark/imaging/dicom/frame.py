"""The stored values of a DICOM image, by transfer syntax (DICOM PS3.5, annex A). Needs the extra `dicom`.

Every size is checked before a decoder is called: what a compressed image promises about itself must agree with the
header, whose size has been judged already.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.dicom import jpeg_frame, rle
from cxr_spark.imaging.dicom.file import reading
from cxr_spark.imaging.dicom.header import DicomHeader
from cxr_spark.imaging.rejected import CORRUPT, TRUNCATED, UNSUPPORTED_FORMAT, ImageRejected

_UID = "1.2.840.10008.1.2"
#: Byte order of uncompressed values.
_NATIVE = {_UID: "<", f"{_UID}.1": "<", f"{_UID}.2": ">"}
_RLE = f"{_UID}.5"
_JPEG = {f"{_UID}.4.{number}" for number in (50, 51, 57, 70)}  # baseline, extended, lossless
_JPEG_LS = {f"{_UID}.4.{number}" for number in (80, 81)}
_JPEG_2000 = {f"{_UID}.4.{number}" for number in (90, 91)}


def decode_frame(header: DicomHeader) -> NDArray[Any]:
    """Decodes the pixels as they are stored.

    Args:
        header: the header of a file with one frame.

    Returns:
        Integers of 8 or 16 bits, shape (height, width), or (height, width, 3) of colours: RGB of compressed images, of
        others what the header's `photometric` says.

    Raises:
        ImageRejected: the pixels are damaged, cut short, or compressed in a way that is not read.
    """
    syntax = header.transfer_syntax
    order = _NATIVE.get(syntax)
    if order is not None:
        with reading("pixels"):
            stored = header.dataset.PixelData
        return _uncompressed(_unswapped(stored) if header.swapped_bytes else stored, order, header)
    if syntax not in {_RLE, *_JPEG, *_JPEG_LS, *_JPEG_2000}:
        raise ImageRejected(UNSUPPORTED_FORMAT, f"DICOM transfer syntax {syntax[:64]!r}")
    frame = _frame(header)
    if syntax == _RLE:
        return rle.decode(frame, header)
    decoder = jpeg_frame.decode_jpeg_2000 if syntax in _JPEG_2000 else jpeg_frame.decode_jpeg
    values = decoder(frame, header)
    channels = () if header.samples == 1 else (header.samples,)
    if values.shape != (header.height, header.width, *channels) or values.dtype.itemsize > 2:
        raise ImageRejected(CORRUPT, f"DICOM pixels decode to shape {values.shape} of {values.dtype}")
    return values


def keeps_channels(header: DicomHeader) -> bool:
    """Returns whether `decode_frame` gives colours as the header names them, and not as RGB."""
    return header.transfer_syntax in {*_NATIVE, _RLE}


def _frame(header: DicomHeader) -> bytes:
    """Puts the fragments of the one frame together."""
    from pydicom.encaps import generate_frames

    with reading("pixels"):
        return bytes(next(generate_frames(header.dataset.PixelData, number_of_frames=1)))


def _unswapped(stored: bytes) -> bytes:
    """Exchanges the two bytes of every word."""
    words = np.frombuffer(stored, dtype=np.uint16, count=len(stored) // 2)
    exchanged: bytes = words.byteswap().tobytes()
    return exchanged


def _uncompressed(pixels: bytes, order: str, header: DicomHeader) -> NDArray[Any]:
    if header.photometric == "YBR_FULL_422":
        raise ImageRejected(UNSUPPORTED_FORMAT, "uncompressed DICOM pixels with subsampled colours")
    if len(pixels) < header.decoded_bytes:
        raise ImageRejected(TRUNCATED, f"DICOM pixels end after {len(pixels)} of {header.decoded_bytes} bytes")
    dtype = np.dtype(f"{order}u{header.bits_allocated // 8}")
    values = np.frombuffer(pixels, dtype, count=header.decoded_bytes // dtype.itemsize)
    values = values.astype(dtype.newbyteorder("="), copy=False)
    if header.samples == 1:
        return values.reshape(header.height, header.width)
    if header.planar:
        return np.ascontiguousarray(values.reshape(3, header.height, header.width).transpose(1, 2, 0))
    return values.reshape(header.height, header.width, 3)
