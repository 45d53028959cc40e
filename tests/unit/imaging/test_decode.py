"""Decoding against Pillow and OpenCV as independent truth, and every kind of damage."""

import io
import random
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from cxr_spark.imaging.decode import MAX_FILE_BYTES, MAX_PIXELS, check_file_size, decode_grey
from cxr_spark.imaging.rejected import REASONS, ImageRejected
from tests.support.bounds import seconds_and_peak

RNG = np.random.default_rng(7)


def radiograph(height=61, width=47, maximum=255):
    """A smooth picture with noise: all PNG filters are chosen for some row of it."""
    y, x = np.mgrid[0:height, 0:width]
    smooth = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4
    noise = RNG.random((height, width)) * 0.2 * (y % 5 > 2)
    return np.clip((smooth + noise) * maximum / 1.2, 0, maximum)


GREY = radiograph().astype(np.uint8)
COLOUR = np.dstack([radiograph(), radiograph()[::-1], radiograph()[:, ::-1]]).astype(np.uint8)


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth, colour, rows, *, interlace=0, extra=b"", idat=None):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    data = zlib.compress(rows) if idat is None else idat
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND")


def split_png(data):
    """Lists the (kind, content) chunks of a PNG file."""
    chunks, position = [], 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def rejected(data):
    with pytest.raises(ImageRejected) as caught:
        decode_grey(data)
    assert caught.value.reason in REASONS
    assert caught.value.exit_status == 3
    return caught.value


def luma(rgb):
    """BT.601 by floating point, independent of OpenCV's integers."""
    return np.asarray(rgb, dtype=np.float64) @ [0.299, 0.587, 0.114]


# --- what decodes ---------------------------------------------------------------------------------------------------


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


# --- what is rejected, and why --------------------------------------------------------------------------------------


def test_empty():
    assert rejected(b"").reason == "empty"


@pytest.mark.parametrize("data", [b"hello", b"\x00" * 4096, b"<html></html>", b"\x89PNX\r\n\x1a\n" + b"x" * 99])
def test_not_an_image(data):
    assert rejected(data).reason == "not_an_image"


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_formats_are_named(form):
    error = rejected(encoded(GREY, form))
    assert error.reason == "unsupported_format"
    assert form.lower() in str(error).lower()


def test_dicom_is_named():
    assert "DICOM" in rejected(b"\0" * 128 + b"DICM" + b"\2\0").detail


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_no_cut_file_passes(form):
    data = encoded(GREY, form)
    end = len(data)
    for length in [*range(1, end, 37), end - 1, end - 2]:
        assert rejected(data[:length]).reason in ({"truncated"} if length > 8 else {"truncated", "not_an_image"}), (
            length
        )


def test_progressive_jpeg_cut_between_scans():
    data = encoded(COLOUR, "JPEG", progressive=True)
    second_scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    assert rejected(data[:second_scan]).reason == "truncated"


def test_jpeg_thumbnail_does_not_pass_for_the_end():
    """An embedded thumbnail has an end marker of its own."""
    thumbnail = encoded(GREY[:8, :8], "JPEG")
    data = encoded(GREY, "JPEG")
    application = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + application + data[2:]
    assert decode_grey(whole).shape == GREY.shape
    assert rejected(whole[:-40]).reason == "truncated"


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"IEND", b"tEXt"])
def test_wrong_checksum(kind):
    chunks = split_png(encoded(GREY))
    data = b"\x89PNG\r\n\x1a\n"
    for name, content in [chunks[0], (b"tEXt", b"Comment\0x"), *chunks[1:]]:
        piece = chunk(name, content)
        data += piece[:-1] + bytes([piece[-1] ^ 1]) if name == kind else piece
    error = rejected(data)
    assert error.reason == "corrupt"
    assert kind.decode() in error.detail


def test_wrong_adler_checksum_under_a_right_crc():
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    packed = bytearray(zlib.compress(rows))
    packed[-1] ^= 1
    assert rejected(png(47, 61, 8, 0, rows, idat=bytes(packed))).reason == "corrupt"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(0, 5, 8, 0, b""), "corrupt"),
        (png(5, 0, 8, 0, b""), "corrupt"),
        (png(2**31, 1, 8, 0, b""), "corrupt"),
        (png(4, 4, 3, 0, b"\0" * 12), "corrupt"),  # no such depth
        (png(4, 4, 8, 5, b"\0" * 20), "corrupt"),  # no such colour type
        (png(4, 4, 16, 3, b"\0" * 36), "corrupt"),  # palettes have at most 8 bits
        (png(4, 4, 8, 0, b"\5" + b"\0" * 19), "corrupt"),  # no such filter
        (png(4, 4, 8, 0, b"\0" * 20, interlace=2), "corrupt"),
        (png(4, 4, 8, 0, b"\0" * 21), "corrupt"),  # one byte too many
        (png(4, 4, 8, 0, b"\0" * 19), "truncated"),  # one too few
        (png(4, 4, 8, 0, b"", idat=zlib.compress(b"\0" * 20)[:-4]), "truncated"),  # no Adler checksum
        (png(4, 4, 8, 0, b"", idat=b""), "truncated"),
        (png(4, 4, 8, 0, b"", idat=b"garbage garbage"), "corrupt"),
        (png(4, 4, 8, 3, b"\0" * 20), "corrupt"),  # palette missing
        (png(1, 1, 8, 3, b"\0\2", extra=chunk(b"PLTE", b"\1\2\3\4\5\6")), "corrupt"),  # colour 2 of 2
        (png(1, 1, 8, 3, b"\0\0", extra=chunk(b"PLTE", b"\1\2\3\4")), "corrupt"),
        (png(4, 4, 8, 0, b"\0" * 20, extra=chunk(b"IDAT") + chunk(b"tEXt", b"a\0b")), "corrupt"),  # two places
        (png(4, 4, 8, 0, b"\0" * 20, extra=chunk(b"ABCD")), "unsupported_format"),  # unknown but needed
        (b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", b"\0" * 4) + chunk(b"IHDR", b"\0" * 13), "unsupported_format"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b"\0" * 40), "corrupt"),
        (b"\xff\xd8\xff\xd9" + b"\0" * 20, "corrupt"),  # nothing between start and end
        (b"\xff\xd8\xff\xe0\x00\x01" + b"\0" * 20, "corrupt"),  # segment length below 2
        (b"\xff\xd8\xff\xe0\x00\x02\x00\x00", "corrupt"),  # no marker where one must be
        (b"\xff\xd8\xff\xff\xff\xff", "truncated"),
    ],
)  # fmt: skip
def test_hand_made_damage(data, reason):
    assert rejected(data).reason == reason


def test_lossless_and_12_bit_jpeg_are_unsupported():
    data = bytearray(encoded(GREY, "JPEG"))
    frame = data.index(b"\xff\xc0")
    lossless, deep = data.copy(), data.copy()
    lossless[frame + 1] = 0xC3
    deep[frame + 4] = 12
    assert rejected(bytes(lossless)).reason == "unsupported_format"
    assert rejected(bytes(deep)).reason == "unsupported_format"


def test_jpeg_with_thousands_of_scans():
    data = encoded(GREY, "JPEG")
    scan = data.index(b"\xff\xda")
    assert rejected(data[:scan] + data[scan:-2] * 300 + b"\xff\xd9").reason == "corrupt"


# --- decompression bombs --------------------------------------------------------------------------------------------


def test_png_header_that_promises_too_many_pixels():
    """Decided from the header: the image data need not even be there."""
    side = int(MAX_PIXELS**0.5) + 1
    data = png(side, side, 8, 0, b"", idat=b"\0")
    error = rejected(data)
    assert error.reason == "too_large"
    assert str(side) in error.detail
    assert rejected(png(65000, 65000, 1, 0, b"", idat=b"")).reason == "too_large"


def test_png_of_allowed_pixels_but_too_many_bytes():
    assert rejected(png(9_000, 9_000, 16, 6, b"", idat=b"\0")).reason == "too_large"


def test_jpeg_header_that_promises_too_many_pixels():
    data = bytearray(encoded(GREY, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)
    assert rejected(bytes(data)).reason == "too_large"


def test_small_header_over_data_that_inflates_without_end():
    """A 4 x 4 image whose data inflates to 200 MB is given up after a few bytes."""
    bomb = png(4, 4, 8, 0, b"", idat=zlib.compress(b"\0" * 200_000_000, 1))
    tracemalloc.start()
    assert rejected(bomb).reason == "corrupt"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_large_header_over_hardly_any_data_allocates_nothing():
    bomb = png(9_999, 9_999, 8, 0, b"", idat=zlib.compress(b"\0" * 100))
    tracemalloc.start()
    assert rejected(bomb).reason == "truncated"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_file_size_limit():
    check_file_size(MAX_FILE_BYTES)
    with pytest.raises(ImageRejected, match="too_large"):
        check_file_size(MAX_FILE_BYTES + 1)


@pytest.mark.parametrize("kind", [b"IDAT", b"tEXt"])
def test_png_of_millions_of_empty_chunks_is_given_up(kind):
    start = encoded(GREY)
    hostile = start[:33] + chunk(kind) * 1_000_000 + start[33:]
    assert rejected(hostile).reason == "corrupt"
    seconds, peak = seconds_and_peak(lambda: rejected(hostile))
    assert seconds < 2
    assert peak < len(hostile)


# --- fuzzing --------------------------------------------------------------------------------------------------------


def test_flipped_bits_in_a_png_never_give_wrong_pixels():
    """Every byte between signature and end is covered by a checksum, so a flip anywhere is an error."""
    data = encoded(GREY[:24, :24])
    for position in range(8, len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << random.Random(position).randrange(8)
        assert rejected(bytes(damaged)).reason in {"corrupt", "truncated", "too_large", "unsupported_format"}


def test_random_damage_under_right_checksums_never_crashes():
    """Deflate streams and headers from an attacker who can compute checksums."""
    rng = random.Random(3)
    chunks = split_png(encoded(COLOUR[:20, :20]))
    for _ in range(3000):
        changed = [[kind, bytearray(content)] for kind, content in chunks]
        content = rng.choice([c for _, c in changed if c])
        for _ in range(rng.randrange(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        data = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(k, bytes(c)) for k, c in changed)
        try:
            image = decode_grey(data)
        except ImageRejected:
            continue
        assert image.dtype == np.uint8
        assert image.ndim == 2


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_random_damage_in_a_jpeg_never_crashes(options):
    rng = random.Random(5)
    original = encoded(COLOUR, "JPEG", **options)
    for _ in range(400):
        data = bytearray(original)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(2, len(data))] = rng.randrange(256)
        try:
            image = decode_grey(bytes(data))
        except ImageRejected:
            continue
        assert image.dtype == np.uint8
        assert image.ndim == 2
