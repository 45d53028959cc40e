"""Compressed DICOM pixels: cut ones are rejected, padded ones are read."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.rejected import ImageRejected
from tests.support.dicom_files import JPEG, JPEG_12, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, RLE, dicom_bytes

RNG = np.random.default_rng(9)
GREY = np.clip(np.add.outer(np.arange(64), np.arange(80)) + RNG.normal(0, 6, (64, 80)), 0, 255).astype(np.uint8)
RGB = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])


def with_frame(data: bytes, change: Any) -> bytes:
    """The file with its one frame changed."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([change(frame)])
    dataset["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


@pytest.mark.parametrize("values", [GREY, GREY.astype(np.uint16) * 16, RGB], ids=["8", "16", "colour"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_rle_that_ends_early_is_rejected_as_pydicom_does(values: Any, part: float) -> None:
    data = with_frame(dicom_bytes(values, syntax=RLE), lambda frame: frame[: int(len(frame) * part)])
    with pytest.raises(RuntimeError, match="RLE"):
        _ = pydicom.dcmread(io.BytesIO(data)).pixel_array
    with pytest.raises(ImageRejected, match=r"truncated|corrupt"):
        decode_grey(data)


def test_rle_whose_header_promises_more_rows_is_rejected() -> None:
    with pytest.raises(ImageRejected, match="truncated: RLE segment holds 5120 of 10240 bytes"):
        decode_grey(dicom_bytes(GREY, syntax=RLE, Rows=128))


def test_rle_of_another_number_of_segments_is_rejected() -> None:
    with pytest.raises(ImageRejected, match="RLE pixels in 2 segments, expected 1"):
        decode_grey(with_frame(dicom_bytes(GREY, syntax=RLE), lambda frame: b"\2" + frame[1:]))


@pytest.mark.parametrize(
    ("values", "bits", "syntax"),
    [
        (GREY, 8, JPEG),
        (GREY.astype(np.uint16) * 16, 12, JPEG_12),
        (GREY, 8, JPEG_LOSSLESS),
        (GREY.astype(np.uint16) * 16, 12, JPEG_LOSSLESS),
    ],
)
def test_half_a_jpeg_with_an_end_marker_is_rejected(values: Any, bits: int, syntax: str) -> None:
    data = dicom_bytes(values, bits, syntax=syntax)
    for part in (0.5, 0.7, 0.9):
        cut = with_frame(data, lambda frame, part=part: frame[: int(len(frame) * part)] + b"\xff\xd9")
        with pytest.raises(ImageRejected, match="corrupt"):
            decode_grey(cut)


@pytest.mark.parametrize("syntax", [JPEG_LS, JPEG_2000])
def test_half_of_other_compressed_images_with_an_end_marker_is_rejected(syntax: str) -> None:
    for part in (0.5, 0.7, 0.9):
        cut = with_frame(dicom_bytes(GREY, syntax=syntax), lambda f, part=part: f[: int(len(f) * part)] + b"\xff\xd9")
        with pytest.raises(ImageRejected, match="corrupt"):
            decode_grey(cut)


@pytest.mark.parametrize("syntax", [JPEG, JPEG_LOSSLESS, JPEG_LS, JPEG_2000])
@pytest.mark.parametrize("junk", [b"  ", b"PADDING!", b"\0\0\0", b"\xff\xff", b"\xff\xd9\0"])
def test_bytes_after_the_end_of_a_compressed_image_are_ignored(syntax: str, junk: bytes) -> None:
    data = dicom_bytes(GREY, syntax=syntax)
    padded = with_frame(data, lambda frame: frame.rstrip(b"\0") + junk)
    assert np.array_equal(decode_grey(padded), decode_grey(data))


@pytest.mark.parametrize("syntax", [JPEG, JPEG_LOSSLESS, JPEG_LS])
def test_hostile_frames_are_given_up_soon(syntax: str) -> None:
    data = dicom_bytes(GREY, syntax=syntax)
    for filling in (b"\xff", b"\xff\xe0\x00\x02", b"\xff\x00"):
        with pytest.raises(ImageRejected):
            decode_grey(with_frame(data, lambda frame, filling=filling: frame[:2] + filling * 2_000_000))


def test_eight_bit_pixels_in_big_endian_words_are_swapped() -> None:
    """pydicom's own SC_rgb_small_odd_big_endian.dcm, in grey and of any size."""
    words = GREY.tobytes()
    swapped = np.frombuffer(words, np.uint16).byteswap().tobytes()
    data = dicom_bytes(GREY, syntax="1.2.840.10008.1.2.2")
    at = data.index(words)
    assert data[at - 12 : at - 6] == b"\x7f\xe0\x00\x10OB"
    as_words = data[: at - 8] + b"OW" + data[at - 6 : at] + swapped + data[at + len(words) :]
    assert np.array_equal(pydicom.dcmread(io.BytesIO(as_words)).pixel_array, GREY)
    assert np.array_equal(decode_grey(as_words), GREY)
