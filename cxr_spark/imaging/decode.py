"""Decodes the bytes of an image file to grey pixels. The format is recognised by the contents, never by the name."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxr_spark.imaging import jpeg, png
from cxr_spark.imaging.dicom import decode as dicom
from cxr_spark.imaging.dicom.file import SNIFFED_BYTES
from cxr_spark.imaging.grey import WHITE_LEVEL, to_8_bit
from cxr_spark.imaging.rejected import EMPTY, NOT_AN_IMAGE, TOO_LARGE, UNSUPPORTED_FORMAT, ImageRejected

__all__ = ["SNIFFED_BYTES", "DecodedImage", "check_file_size", "decode_grey", "decode_image", "is_image"]

#: The largest radiography detectors have about 16 megapixels, and a stitched spine image has three times as many. A
#: larger image is a decompression bomb or an error. The number is checked before any memory is allocated.
MAX_PIXELS = 100_000_000
#: Uncompressed bytes of a PNG: `MAX_PIXELS` of 16-bit grey. Colour images of that size do not exist either.
MAX_INFLATED_BYTES = 2 * MAX_PIXELS
#: Enough for every radiograph of up to `MAX_PIXELS`, even as uncompressed 16-bit grey. It bounds what a worker reads.
MAX_FILE_BYTES = 256 * 2**20

#: SOP class of a DICOMDIR, which lists the files of a disk: DICOM PS3.4, table B.5-1.
_DICOM_INDEX = b"1.2.840.10008.1.3.10"
#: First bytes of image formats that are not read here, so that the rejection can name the format.
_OTHER_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"RIFF", "WebP"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)


class DecodedImage(NamedTuple):
    """A decoded image.

    Attributes:
        grey: contiguous uint8 array of shape (height, width).
        used_bits: the number of bits that the highest value of a 16-bit PNG needs; None for all other files.
    """

    grey: NDArray[np.uint8]
    used_bits: int | None


def decode_grey(data: bytes | memoryview, white_level: int = WHITE_LEVEL) -> NDArray[np.uint8]:
    """Decodes a PNG, JPEG or DICOM file to 8-bit grey: see `decode_image`."""
    return decode_image(data, white_level).grey


def decode_image(data: bytes | memoryview, white_level: int = WHITE_LEVEL) -> DecodedImage:
    """Decodes a PNG, JPEG or DICOM file to 8-bit grey.

    Colours become BT.601 luma, alpha is dropped, 16-bit values of a PNG map by v * 255 / white_level, smaller depths
    spread over 0..255, and a JPEG is turned as its EXIF orientation says. DICOM has a chain of its own, see
    `dicom.grey.to_grey`. The whole file must be sound: half an image is none.

    Args:
        data: the contents of the file.
        white_level: the value of a PNG with 16 bits that is white, 1 to 65535.

    Raises:
        ImageRejected: the file cannot be used; its `reason` is one of `rejected.REASONS`.
    """
    view = memoryview(data)
    start = bytes(view[:16])
    if not start:
        raise ImageRejected(EMPTY, "file of 0 bytes")
    check_file_size(len(view))
    if start.startswith(png.SIGNATURE):
        png_header = png.read_header(view)
        _check_pixels(png_header.width, png_header.height)
        _check_inflated(png_header.inflated_bytes)
        grey = png.decode(view, png_header)
        if grey.dtype == np.uint16:
            deep = grey.astype(np.uint16, copy=False)
            return DecodedImage(to_8_bit(deep, white_level), int(deep.max()).bit_length())
        return DecodedImage(grey.astype(np.uint8, copy=False), None)
    if start.startswith(jpeg.SIGNATURE):
        jpeg_header = jpeg.read_header(view)
        _check_pixels(jpeg_header.width, jpeg_header.height)
        return DecodedImage(jpeg.decode(view, jpeg_header), None)
    if dicom.is_dicom(view):
        dicom_header = dicom.read_header(view)
        _check_pixels(dicom_header.width, dicom_header.height)
        return DecodedImage(dicom.decode(dicom_header), None)
    for signature, name in _OTHER_FORMATS:
        if start.startswith(signature):
            raise ImageRejected(UNSUPPORTED_FORMAT, f"{name} file, expected PNG, JPEG or DICOM")
    raise ImageRejected(NOT_AN_IMAGE, f"file begins with {start[:8]!r}, expected PNG, JPEG or DICOM")


def is_image(start: bytes) -> bool:
    """Returns whether a file is a PNG, JPEG or DICOM image, judged by its first `SNIFFED_BYTES`.

    A DICOMDIR, which lists the files of a disk, is not an image.
    """
    if start.startswith((png.SIGNATURE, jpeg.SIGNATURE)):
        return True
    return dicom.is_dicom(memoryview(start)) and _DICOM_INDEX not in start


def check_file_size(size: int) -> None:
    """Rejects a file that is too large to be read. Its size is known before it is read.

    Raises:
        ImageRejected: `size` is above `MAX_FILE_BYTES`.
    """
    if size > MAX_FILE_BYTES:
        raise ImageRejected(TOO_LARGE, f"file of {size} bytes, at most {MAX_FILE_BYTES} are read")


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageRejected(TOO_LARGE, f"{width} x {height} pixels, at most {MAX_PIXELS} are decoded")


def _check_inflated(size: int) -> None:
    if size > MAX_INFLATED_BYTES:
        raise ImageRejected(TOO_LARGE, f"{size} bytes when uncompressed, at most {MAX_INFLATED_BYTES} are decoded")
