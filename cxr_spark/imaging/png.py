"""PNG to grey: every colour type, bit depth and interlacing of the specification, with every checksum verified.

OpenCV and Pillow return half of a truncated file without an error, or differ from each other in the handling of 16-bit
and transparent images. Here a file decodes fully and exactly, or it is rejected. Specification: ISO/IEC 15948.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from cxr_spark.imaging.grey import luma
from cxr_spark.imaging.rejected import CORRUPT, TRUNCATED, UNSUPPORTED_FORMAT, ImageRejected
from cxr_spark.imaging.unfilter import unfilter

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), _GREY_ALPHA: (8, 16), _RGBA: (8, 16)}
#: Adam7: first column, first row, column step, row step of the seven passes.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
#: Encoders write image data in chunks of 8 KB or more, 32,768 of them in the largest file that is read.
_MAX_CHUNKS = 100_000
#: Deflate packs at most 258 bytes into 2 bits (RFC 1951). A header that promises more than that is of a cut file or was
#: made to mislead.
_MAX_RATIO = 1032


class _Pass(NamedTuple):
    """A rectangle of pixels that is filtered on its own: an interlace pass, or the whole image."""

    left: int
    top: int
    step_x: int
    step_y: int
    width: int
    height: int


class PngHeader(NamedTuple):
    """The IHDR chunk."""

    width: int
    height: int
    bit_depth: int
    colour_type: int
    interlaced: bool

    @property
    def inflated_bytes(self) -> int:
        """Bytes of the uncompressed image data, with the filter types."""
        return sum(part.height * (self.row_bytes(part.width) + 1) for part in self.passes())

    @property
    def bits_per_pixel(self) -> int:
        """Bits of one pixel, all channels."""
        return self.bit_depth * _CHANNELS[self.colour_type]

    def row_bytes(self, width: int) -> int:
        """Bytes of a row of `width` pixels, without its filter type."""
        return (width * self.bits_per_pixel + 7) // 8

    def passes(self) -> list[_Pass]:
        """The passes that hold pixels, in file order."""
        if not self.interlaced:
            return [_Pass(0, 0, 1, 1, self.width, self.height)]
        passes = [
            _Pass(x, y, dx, dy, (self.width - x + dx - 1) // dx, (self.height - y + dy - 1) // dy)
            for x, y, dx, dy in _ADAM7
        ]
        return [part for part in passes if part.width > 0 and part.height > 0]


def read_header(data: memoryview) -> PngHeader:
    """Reads the dimensions and the pixel format of a PNG file, without decoding it.

    Args:
        data: the file, which begins with `SIGNATURE`.

    Raises:
        ImageRejected: the header is cut off, damaged, or against the specification.
    """
    if len(data) < 33:
        raise ImageRejected(TRUNCATED, f"{len(data)} bytes are too few for a PNG header")
    length, kind = struct.unpack_from(">I4s", data, 8)
    if kind != b"IHDR" or length != 13:
        variant = UNSUPPORTED_FORMAT if kind == b"CgBI" else CORRUPT
        raise ImageRejected(variant, f"the first PNG chunk is {_name(kind)} of {length} bytes, not IHDR of 13")
    width, height, depth, colour, compression, filtering, interlace, crc = struct.unpack_from(">IIBBBBBI", data, 16)
    if isal_zlib.crc32(data[12:29]) != crc:
        raise ImageRejected(CORRUPT, "wrong checksum of PNG chunk IHDR")
    if not 0 < width < 2**31 or not 0 < height < 2**31:
        raise ImageRejected(CORRUPT, f"PNG of {width} x {height} pixels")
    if depth not in _DEPTHS.get(colour, ()):
        raise ImageRejected(CORRUPT, f"PNG colour type {colour} with {depth} bits")
    if compression or filtering or interlace > 1:
        raise ImageRejected(CORRUPT, f"PNG methods {compression}, {filtering}, {interlace} do not exist")
    return PngHeader(width, height, depth, colour, bool(interlace))


def decode(data: memoryview, header: PngHeader) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decodes a PNG file to grey.

    Alpha, transparency and gamma are ignored: grey is the stored value, or the luma of the stored colours.

    Args:
        data: the whole file.
        header: what `read_header` gave for it.

    Returns:
        Array of shape (height, width): uint16 where the file has 16 bits, else uint8 (fewer bits spread over 0..255).

    Raises:
        ImageRejected: a checksum is wrong, something is missing, or there is more or less data than the header says.
    """
    compressed, palette = _read_chunks(data)
    raw = np.frombuffer(_inflate(compressed, header), dtype=np.uint8)
    passes = header.passes()
    if not header.interlaced:
        return _pass_to_grey(raw, passes[0], header, palette)
    shape = (header.height, header.width)
    image = np.empty(shape, np.uint16) if header.bit_depth == 16 else np.empty(shape, np.uint8)
    start = 0
    for part in passes:
        size = part.height * (header.row_bytes(part.width) + 1)
        grey = _pass_to_grey(raw[start : start + size], part, header, palette)
        image[part.top :: part.step_y, part.left :: part.step_x] = grey
        start += size
    return image


def _name(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace")


def _read_chunks(data: memoryview) -> tuple[bytes, memoryview | None]:
    """Returns the joined IDAT contents and the palette, all checksums verified up to IEND."""
    parts: list[memoryview] = []
    palette = None
    position, size, last = len(SIGNATURE), len(data), b""
    for _ in range(_MAX_CHUNKS):
        if position + 12 > size:
            raise ImageRejected(TRUNCATED, f"PNG ends at byte {size} without IEND")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > size:
            raise ImageRejected(TRUNCATED, f"PNG ends at byte {size}, its chunk {_name(kind)} at {end + 4}")
        if isal_zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ImageRejected(CORRUPT, f"wrong checksum of PNG chunk {_name(kind)} at byte {position}")
        if kind == b"IDAT":
            if parts and last != b"IDAT":
                raise ImageRejected(CORRUPT, "PNG image data in two places")
            if length or not parts:
                parts.append(data[position + 8 : end])
        elif kind == b"PLTE":
            palette = data[position + 8 : end]
        elif kind == b"IEND":
            break
        elif not kind[0] & 0x20 and kind != b"IHDR":  # an upper-case first letter: the image needs this chunk
            raise ImageRejected(UNSUPPORTED_FORMAT, f"unknown PNG chunk {_name(kind)}")
        position, last = end + 4, kind
    else:
        raise ImageRejected(CORRUPT, f"PNG of more than {_MAX_CHUNKS} chunks")
    if not parts:
        raise ImageRejected(TRUNCATED, "PNG without image data")
    return b"".join(parts), palette


def _inflate(compressed: bytes, header: PngHeader) -> bytes:
    """Returns exactly the bytes that the header promises; never allocates much more than that."""
    expected = header.inflated_bytes
    if expected > _MAX_RATIO * len(compressed) + _MAX_RATIO:
        raise ImageRejected(TRUNCATED, f"{len(compressed)} bytes of PNG image data cannot hold {expected} bytes")
    stream = isal_zlib.decompressobj()
    try:
        raw = stream.decompress(compressed, expected + 1)
    except isal_zlib.IsalError as error:  # type: ignore[misc]  # its type stub declares an instance
        raise ImageRejected(CORRUPT, f"damaged PNG image data: {error}") from error
    if len(raw) > expected:
        raise ImageRejected(CORRUPT, f"PNG image data goes on after the {expected} bytes that the header promises")
    if len(raw) < expected or not stream.eof:
        raise ImageRejected(TRUNCATED, f"PNG image data ends after {len(raw)} of {expected} bytes")
    return raw


def _pass_to_grey(
    raw: NDArray[np.uint8], part: _Pass, header: PngHeader, palette: memoryview | None
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Unfilters one pass and converts it to grey: (part.height, part.width), the dtype as in `decode`."""
    step = max(1, header.bits_per_pixel // 8)
    rows, bad_row = unfilter(raw, part.height, header.row_bytes(part.width), step)
    if bad_row >= 0:
        raise ImageRejected(CORRUPT, f"unknown PNG filter in row {bad_row}")
    if header.colour_type == _PALETTE:
        return _look_up(_unpack(rows, part.width, header.bit_depth), palette)
    if header.bit_depth < 8:
        grey: NDArray[np.uint8] = _unpack(rows, part.width, header.bit_depth) * np.uint8(
            255 // (2**header.bit_depth - 1)
        )
        return grey
    if header.bit_depth == 16:
        pixels = rows.view(">u2").astype(np.uint16).reshape(part.height, part.width, -1)
        return luma(pixels)
    return luma(rows.reshape(part.height, part.width, -1))


def _unpack(rows: NDArray[np.uint8], width: int, bits: int) -> NDArray[np.uint8]:
    """Spreads pixels of 1, 2 or 4 bits over a byte each, the leftmost in the highest bits."""
    if bits == 8:
        return rows
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    values = (rows[:, :, None] >> shifts) & np.uint8(2**bits - 1)
    unpacked: NDArray[np.uint8] = values.reshape(rows.shape[0], -1)[:, :width]
    return unpacked


def _look_up(indices: NDArray[np.uint8], palette: memoryview | None) -> NDArray[np.uint8]:
    if palette is None or not len(palette) or len(palette) % 3 or len(palette) > 768:
        raise ImageRejected(CORRUPT, "PNG palette is missing or of a wrong length")
    colours = np.frombuffer(palette, dtype=np.uint8).reshape(1, -1, 3)
    highest = int(indices.max())
    if highest >= colours.shape[1]:
        raise ImageRejected(CORRUPT, f"PNG pixel uses colour {highest} of a palette of {colours.shape[1]}")
    grey: NDArray[np.uint8] = luma(colours)[0][indices]
    return grey
