"""Images that are rejected, and the reasons that are given."""

from __future__ import annotations

import struct
import zlib

import pytest

from cxr_spark.imaging.decode import decode_grey
from tests.support.encoded_images import COLOUR, GREY, chunk, encoded, png, rejected, split_png


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
