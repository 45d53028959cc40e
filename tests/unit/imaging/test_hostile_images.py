"""Images that are made to fill the memory, and images with random damage."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from cxr_spark.imaging.decode import MAX_FILE_BYTES, MAX_PIXELS, check_file_size, decode_grey
from cxr_spark.imaging.rejected import ImageRejected
from tests.support.bounds import seconds_and_peak
from tests.support.encoded_images import COLOUR, GREY, chunk, encoded, png, rejected, split_png


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
