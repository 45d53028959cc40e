"""JPEG: damaged and cut image data, orientation, and files made to be slow."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from cxr_spark.imaging import jpeg
from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.rejected import ImageRejected
from tests.support.bounds import seconds_and_peak
from tests.support.packages import needs_simplejpeg

RNG = np.random.default_rng(11)
GREY = np.clip(np.add.outer(np.arange(96), np.arange(128)) + RNG.normal(0, 9, (96, 128)), 0, 255).astype(np.uint8)
BASELINE = [{}, {"restart_marker_blocks": 3}, {"restart_marker_rows": 1}, {"optimize": True}, {"subsampling": 0}]
PROGRESSIVE = pytest.param({"progressive": True}, marks=needs_simplejpeg)


def encoded(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92, **options)
    return buffer.getvalue()


def reason(data: bytes) -> str:
    with pytest.raises(ImageRejected) as caught:
        decode_grey(data)
    return caught.value.reason


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("options", [*BASELINE, PROGRESSIVE])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_half_an_image_with_an_end_marker_is_rejected(
    options: dict[str, object], mode: str, strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The marker that is put behind a cut scan makes the structure whole; libjpeg fills the rest with grey."""
    if not strict and "progressive" in options:
        pytest.skip("progressive files need simplejpeg")
    monkeypatch.setattr(jpeg, "IS_STRICT", strict and jpeg.IS_STRICT)
    whole = encoded(Image.fromarray(GREY).convert(mode), **options)
    scan = whole.rindex(b"\xff\xda") + 14
    for end in range(scan, len(whole) - 12, max(1, (len(whole) - scan) // 57)):
        cut = whole[:end].rstrip(b"\xff") + b"\xff\xd9"
        if cut[-4:-3] != b"\xff":
            assert reason(cut) == "corrupt"


@pytest.mark.parametrize("factor", [2, 0.5])
def test_another_height_in_the_header_is_rejected(factor: float) -> None:
    data = bytearray(encoded(Image.fromarray(GREY)))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 7] = struct.pack(">H", int(96 * factor))
    assert reason(bytes(data)) == "corrupt"


def test_whatever_libjpeg_warns_of_is_rejected(capfd: pytest.CaptureFixture[str]) -> None:
    """Truth: the libjpeg inside OpenCV, which prints its warnings and goes on."""
    whole = encoded(Image.fromarray(GREY))
    scan = whole.index(b"\xff\xda") + 10
    warned = 0
    for position in RNG.integers(scan, len(whole) - 2, 300):
        damaged = bytearray(whole)
        damaged[position] ^= 0x55
        picture = cv2.imdecode(np.frombuffer(damaged, np.uint8), cv2.IMREAD_GRAYSCALE)
        said = capfd.readouterr().err
        if said or picture is None:
            warned += 1
            assert reason(bytes(damaged)) in ("corrupt", "truncated", "unsupported_format")
        elif jpeg.IS_STRICT:
            assert np.array_equal(decode_grey(bytes(damaged)), picture)
    assert warned > 100


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(GREY), exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert np.array_equal(decode_grey(data), upright)


@pytest.mark.parametrize(
    "content", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_exif_is_no_reason_to_refuse_an_image(content: bytes) -> None:
    data = encoded(Image.fromarray(GREY))
    segment = b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content
    assert np.array_equal(decode_grey(data[:2] + segment + data[2:]), decode_grey(data))


def test_colours_in_print_inks_equal_opencv() -> None:
    data = encoded(Image.fromarray(np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])).convert("CMYK"))
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.abs(decode_grey(data).astype(int) - by_opencv).max() <= 2


def test_fill_bytes_between_segments_and_bytes_after_the_end_are_allowed() -> None:
    data = encoded(Image.fromarray(GREY))
    filled = data[:2] + b"\xff" * 1000 + data[2:-2] + b"\xff" * 1000 + data[-2:] + b"trailing"
    assert np.array_equal(decode_grey(filled), decode_grey(data))


START = encoded(Image.fromarray(GREY))
SCAN = START.index(b"\xff\xda") + 10
MANY = 30_000_000


@pytest.mark.parametrize(
    "hostile",
    [
        START[:2] + b"\xff" * MANY + START[2:-2],
        START[:SCAN] + b"\xff" * MANY,
        START[:SCAN] + b"\xff" * MANY + b"\x00" + START[SCAN:],
        START[:SCAN] + b"\xff\xff\x00" * (MANY // 3),
        START[:2] + b"\xff\xe0\x00\x02" * (MANY // 4) + START[2:],
        START[:2] + b"\xff\xfe\x00\x02" * (MANY // 4) + START[2:],
    ],
    ids=["fill", "fill in the scan", "fill that goes on", "fill again and again", "empty APP0", "empty comments"],
)
def test_files_that_were_made_to_be_slow_are_not(hostile: bytes) -> None:
    def judge() -> str:
        try:
            decode_grey(hostile)
        except ImageRejected as error:
            return error.reason
        return "decoded"

    assert judge() in ("corrupt", "truncated") or not jpeg.IS_STRICT
    seconds, peak = seconds_and_peak(judge)
    assert seconds < 2
    assert peak < 2 * MANY


def test_without_the_package_that_reports_warnings_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jpeg, "IS_STRICT", False)
    jpeg._say_what_is_missing.cache_clear()
    progressive = encoded(Image.fromarray(GREY), progressive=True)
    with caplog.at_level("WARNING"):
        decode_grey(START)
        assert not caplog.records
        by_opencv = cv2.imdecode(np.frombuffer(progressive, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(decode_grey(progressive), by_opencv)
        decode_grey(progressive)
    assert sum("pip install simplejpeg" in record.message for record in caplog.records) == 1
