"""The stored values of a DICOM image, by transfer syntax (DICOM PS3.5, annex A). Needs the extra `dicom`.

Every size is checked before a decoder is called: what a compressed image promises about itself must agree with the
header, whose size has been judged already.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging.dicom.header import DicomHeader
from cxr_spark.imaging.rejected import CORRUPT, TRUNCATED, UNSUPPORTED_FORMAT, ImageRejected

_UID = "1.2.840.10008.1.2"
#: Byte order of uncompressed values.
_NATIVE = {_UID: "<", f"{_UID}.1": "<", f"{_UID}.2": ">"}
_RLE = f"{_UID}.5"
_JPEG = {f"{_UID}.4.{number}" for number in (50, 51, 57, 70)}  # baseline, extended, lossless
_JPEG_LS = {f"{_UID}.4.{number}" for number in (80, 81)}
_JPEG_2000 = {f"{_UID}.4.{number}" for number in (90, 91)}

_START_OF_SCAN, _END = b"\xff\xda", b"\xff\xd9"
#: Grey has one scan and colour at most three; a file of thousands is an attack.
_MAX_SCANS = 16
#: Frame headers of JPEG (ITU-T T.81, table B.1) and JPEG-LS (T.87).
_FRAMES = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
_SIZE_2000 = b"\xff\x4f\xff\x51"  # start of a JPEG 2000 codestream and of its SIZ segment (T.800, A.5.1)


class _Size(NamedTuple):
    width: int
    height: int
    channels: int


def decode_frame(header: DicomHeader) -> NDArray[Any]:
    """Decodes the pixels as they are stored.

    Args:
        header: of a file with one frame.

    Returns:
        Integers of 8 or 16 bits, shape (height, width), or (height, width, 3) of colours: RGB of compressed images, of
        others what the header's `photometric` says.

    Raises:
        ImageRejected: the pixels are damaged, cut short, or compressed in a way that is not read.
    """
    syntax = header.transfer_syntax
    order = _NATIVE.get(syntax)
    if order is not None:
        return _shaped(header.dataset.PixelData, order, header, planar=header.planar)
    if syntax not in {_RLE, *_JPEG, *_JPEG_LS, *_JPEG_2000}:
        raise ImageRejected(UNSUPPORTED_FORMAT, f"DICOM transfer syntax {syntax[:64]!r}")
    import imagecodecs

    frame = _frame(header)
    if syntax == _RLE:
        pixels = bytearray(header.decoded_bytes)
        imagecodecs.dicomrle_decode(frame, np.dtype(f"<u{header.bits_allocated // 8}"), out=pixels)
        return _shaped(pixels, "<", header, planar=True)
    _check_end(frame)
    size = _size_2000(frame) if syntax in _JPEG_2000 else _size_jpeg(frame)
    if size != (header.width, header.height, header.samples):
        raise ImageRejected(
            CORRUPT,
            f"DICOM header of {header.width} x {header.height} x {header.samples} with a compressed image of "
            f"{size.width} x {size.height} x {size.channels}",
        )
    if syntax in _JPEG_2000:
        values = imagecodecs.jpeg2k_decode(frame)
    elif syntax in _JPEG_LS:
        values = imagecodecs.jpegls_decode(frame)
    else:
        values = imagecodecs.jpeg8_decode(frame)
    channels = () if header.samples == 1 else (header.samples,)
    if values.shape != (header.height, header.width, *channels) or values.dtype.itemsize > 2:
        raise ImageRejected(CORRUPT, f"DICOM pixels decode to shape {values.shape} of {values.dtype}")
    return np.asarray(values)


def keeps_channels(header: DicomHeader) -> bool:
    """Whether colours come out of `decode_frame` as the header names them, and not as RGB."""
    return header.transfer_syntax in {*_NATIVE, _RLE}


def _frame(header: DicomHeader) -> bytes:
    """Puts the fragments of the one frame together."""
    from pydicom.encaps import generate_frames

    return bytes(next(generate_frames(header.dataset.PixelData, number_of_frames=1)))


def _shaped(pixels: bytes | bytearray, order: str, header: DicomHeader, *, planar: bool) -> NDArray[Any]:
    if header.photometric == "YBR_FULL_422":
        raise ImageRejected(UNSUPPORTED_FORMAT, "uncompressed DICOM pixels with subsampled colours")
    if len(pixels) < header.decoded_bytes:
        raise ImageRejected(TRUNCATED, f"DICOM pixels end after {len(pixels)} of {header.decoded_bytes} bytes")
    dtype = np.dtype(f"{order}u{header.bits_allocated // 8}")
    values = np.frombuffer(pixels, dtype, count=header.decoded_bytes // dtype.itemsize)
    values = values.astype(dtype.newbyteorder("="), copy=False)
    if header.samples == 1:
        return values.reshape(header.height, header.width)
    if planar:
        return np.ascontiguousarray(values.reshape(3, header.height, header.width).transpose(1, 2, 0))
    return values.reshape(header.height, header.width, 3)


def _check_end(frame: bytes) -> None:
    """Decoders fill what is missing with grey, without a word: the end marker is looked for first."""
    if not frame.rstrip(b"\x00\xff").endswith(_END):
        raise ImageRejected(TRUNCATED, f"compressed DICOM pixels end after {len(frame)} bytes without an end marker")
    if frame.count(_START_OF_SCAN) > _MAX_SCANS:
        raise ImageRejected(CORRUPT, f"compressed DICOM pixels of more than {_MAX_SCANS} scans")


def _size_jpeg(frame: bytes) -> _Size:
    """Reads the frame header of a JPEG or JPEG-LS image."""
    position = 2
    while position + 10 <= len(frame) and frame[position] == 0xFF:
        code = frame[position + 1]
        if code == 0xFF:  # fill
            position += 1
            continue
        if code in _FRAMES:
            height = int.from_bytes(frame[position + 5 : position + 7], "big")
            width = int.from_bytes(frame[position + 7 : position + 9], "big")
            return _Size(width, height, frame[position + 9])
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    raise ImageRejected(CORRUPT, "compressed DICOM pixels without a frame header")


def _size_2000(frame: bytes) -> _Size:
    """Reads the SIZ segment of a JPEG 2000 image."""
    start = frame.find(_SIZE_2000)
    segment = frame[start + 4 : start + 42]
    if start < 0 or len(segment) < 38:
        raise ImageRejected(CORRUPT, "compressed DICOM pixels without a JPEG 2000 header")
    width, height, left, top = (int.from_bytes(segment[i : i + 4], "big") for i in (4, 8, 12, 16))
    return _Size(width - left, height - top, int.from_bytes(segment[36:38], "big"))
