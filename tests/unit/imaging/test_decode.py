"""Images that decode, against Pillow and OpenCV."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from cxr_spark.imaging.decode import decode_grey
from tests.support.encoded_images import COLOUR, GREY, RNG, chunk, encoded, png, split_png


def luma(rgb):
    """BT.601 by floating point, independent of OpenCV's integers."""
    return np.asarray(rgb, dtype=np.float64) @ [0.299, 0.587, 0.114]


def test_grey_png_equals_pillow_and_opencv():
    data = encoded(GREY)
    assert np.array_equal(decode_grey(data), GREY)
    assert np.array_equal(decode_grey(data), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))
    assert decode_grey(memoryview(data)).flags.c_contiguous


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (2, 4), (3, 2), (4, 6)])
@pytest.mark.parametrize("depth", [8, 16])
def test_each_filter_type_on_each_pixel_size(kind, channels, colour, depth):
    """Random bytes under one filter type for all rows: the longest chain of predictions. Truth: libpng in OpenCV."""
    height, width = 9, 13
    row_bytes = width * channels * depth // 8
    rows = b"".join(bytes([kind]) + RNG.bytes(row_bytes) for _ in range(height))
    data = png(width, height, depth, colour, rows)
    truth = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).reshape(height, width, -1)
    if channels == 2:
        truth = truth[:, :, :1]  # OpenCV widens grey and alpha to BGRA
    if channels >= 3:
        truth = luma(truth[:, :, 2::-1])[:, :, None]
    if depth == 16:
        truth = truth * (255 / 65535)
    difference = np.abs(decode_grey(data) - truth[:, :, 0].astype(np.float64))
    assert difference.max() <= (0.51 if channels >= 3 or depth == 16 else 0)


def test_grey_and_alpha_ignores_alpha():
    both = np.dstack([GREY, RNG.integers(0, 256, GREY.shape, dtype=np.uint8)])
    assert np.array_equal(decode_grey(encoded(Image.fromarray(both, "LA"))), GREY)


def test_rgba_of_equal_channels_is_exact_and_ignores_alpha():
    """Three NIH files are stored like this."""
    rgba = np.dstack([GREY, GREY, GREY, RNG.integers(0, 256, GREY.shape, dtype=np.uint8)])
    assert np.array_equal(decode_grey(encoded(rgba)), GREY)


def test_colour_is_one_luma_for_rgb_rgba_and_palette():
    colours = COLOUR // 64 * 64
    rgb = decode_grey(encoded(colours))
    assert np.abs(rgb - luma(colours)).max() <= 0.51
    assert np.array_equal(decode_grey(encoded(np.dstack([colours, GREY]))), rgb)
    table = np.unique(colours.reshape(-1, 3), axis=0)
    assert len(table) <= 256
    index = np.array([np.flatnonzero((table == c).all(axis=1))[0] for c in colours.reshape(-1, 3)])
    image = Image.fromarray(index.reshape(GREY.shape).astype(np.uint8), "P")
    image.putpalette(table.tobytes())
    assert np.array_equal(decode_grey(encoded(image)), rgb)
    assert np.array_equal(rgb, cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_palettes(bits):
    image = Image.fromarray(RNG.integers(0, 2**bits, (11, 13), dtype=np.uint8), "P")
    table = RNG.integers(0, 256, (2**bits, 3), dtype=np.uint8)
    image.putpalette(table.tobytes())
    data = encoded(image, bits=bits)
    assert split_png(data)[0][1][8:10] == bytes([bits, 3])
    assert np.abs(decode_grey(data) - luma(table[np.asarray(image)])).max() <= 0.51


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_grey_depths_spread_over_0_to_255(bits):
    values = RNG.integers(0, 2**bits, (11, 13), dtype=np.uint8)  # 13 pixels: the last byte of a row is not full
    binary = np.unpackbits(values[:, :, None], axis=2)[:, :, 8 - bits :].reshape(11, -1)
    packed = np.packbits(binary, axis=1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    data = png(13, 11, bits, 0, rows)
    assert np.array_equal(decode_grey(data), np.rint(values * (255 / (2**bits - 1))).astype(np.uint8))
    assert np.array_equal(decode_grey(data), np.asarray(Image.open(io.BytesIO(data)).convert("L")))


def test_16_bit_grey_maps_every_value():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.rint(values.astype(np.float64) * 255 / 65535)
    assert np.array_equal(decode_grey(encoded(values)), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2), (5, 5), (8, 8), (61, 47)])
@pytest.mark.parametrize(("depth", "colour", "channels"), [(8, 0, 1), (16, 0, 1), (1, 0, 1), (8, 2, 3), (8, 6, 4)])
def test_interlaced_equals_what_opencv_reads(size, depth, colour, channels):
    height, width = size
    rows = b""
    for x, y, dx, dy in [
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
    ]:  # fmt: skip
        w, h = len(range(x, width, dx)), len(range(y, height, dy))
        for _ in range(h if w else 0):
            rows += bytes([RNG.integers(0, 5)]) + RNG.bytes((w * depth * channels + 7) // 8)
    data = png(width, height, depth, colour, rows, interlace=1)
    truth = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).reshape(height, width, -1)
    truth = luma(truth[:, :, 2::-1]) if channels >= 3 else truth[:, :, 0].astype(np.float64)
    if depth == 16:
        truth = truth * (255 / 65535)
    assert np.abs(decode_grey(data) - truth).max() <= (0.51 if channels >= 3 or depth == 16 else 0)


def test_image_data_in_many_chunks_and_bytes_after_the_end():
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    packed = zlib.compress(rows)
    start = encoded(GREY)[:33]
    parts = b"".join(chunk(b"IDAT", packed[i : i + 7]) for i in range(0, len(packed), 7))
    assert np.array_equal(decode_grey(start + chunk(b"IDAT") + parts + chunk(b"IEND") + b"trailing"), GREY)


def test_gamma_and_transparency_chunks_change_nothing():
    chunks = split_png(encoded(GREY))
    extra = [(b"gAMA", struct.pack(">I", 20000)), (b"tRNS", struct.pack(">H", int(GREY[0, 0])))]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in [chunks[0], *extra, *chunks[1:]])
    assert np.array_equal(decode_grey(data), GREY)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"optimize": True}])
def test_grey_jpeg_equals_pillow(options):
    data = encoded(GREY, "JPEG", quality=90, **options)
    assert np.abs(decode_grey(data).astype(int) - np.asarray(Image.open(io.BytesIO(data)))).max() <= 1


def test_colour_jpeg_is_its_luma():
    pastel = (64 + COLOUR * 0.5).astype(np.uint8)  # saturated colours would be clipped on the way through YCbCr
    data = encoded(pastel, "JPEG", quality=95, subsampling=0)
    rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(decode_grey(data) - luma(rgb)).max() <= 1.5


def test_cmyk_jpeg():
    data = encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=95)
    rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(decode_grey(data) - luma(rgb)).mean() < 2


def test_jpeg_is_turned_as_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    data = encoded(GREY, "JPEG", quality=95, exif=exif)
    upright = decode_grey(encoded(GREY, "JPEG", quality=95))
    assert np.array_equal(decode_grey(data), np.rot90(upright, -1))


def test_format_is_told_by_contents_alone():
    assert decode_grey(encoded(GREY, "JPEG")).shape == decode_grey(encoded(GREY)).shape == GREY.shape
