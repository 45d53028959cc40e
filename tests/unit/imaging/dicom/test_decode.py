"""DICOM: transfer syntaxes against pydicom's files, the grey chain against its formulas, damaged and hostile files."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence

from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.dicom import file as dicom_file
from cxr_spark.imaging.rejected import ImageRejected
from tests.support.dicom_files import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_12,
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    dicom_bytes,
)

EXAMPLES = Path(pydicom.data.__file__).parent / "test_files"
RNG = np.random.default_rng(5)
GREY_8 = RNG.integers(0, 256, (24, 34), dtype=np.uint8)
#: Smooth, so that lossy compression changes little; 0 and 4095 both occur.
GREY_12 = (np.linspace(0, 4095, 24 * 34).reshape(24, 34)).astype(np.uint16)
LOSSLESS = [EXPLICIT, IMPLICIT, BIG, RLE, JPEG_LOSSLESS, JPEG_LS, JPEG_2000]


def spread(values: Any, low: float, high: float) -> Any:
    return np.rint(255 * np.clip((np.asarray(values, float) - float(low)) / (float(high) - float(low)), 0, 1)).astype(
        np.uint8
    )


def rejected(data: bytes) -> ImageRejected:
    with pytest.raises(ImageRejected) as caught:
        decode_grey(data)
    return caught.value


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_eight_bits_come_out_as_they_are(syntax: str) -> None:
    assert np.array_equal(decode_grey(dicom_bytes(GREY_8, syntax=syntax)), GREY_8)


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize(("bits", "kind"), [(10, "u2"), (12, "u2"), (16, "u2"), (12, "i2"), (16, "i2")])
def test_more_bits_spread_from_lowest_to_highest(syntax: str, bits: int, kind: str) -> None:
    low, high = (0, 2**bits) if kind == "u2" else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    values = RNG.integers(low // 2, high - high // 3, (24, 34)).astype(kind)
    if kind == "i2" and syntax in (JPEG_LOSSLESS, JPEG_LS):  # they know no signs: the file has the bits alone
        data = dicom_bytes((values.view("u2") & (2**bits - 1)).astype("u2"), bits, syntax, PixelRepresentation=1)
    else:
        data = dicom_bytes(values, bits, syntax)
    assert np.array_equal(decode_grey(data), spread(values, values.min(), values.max()))


@pytest.mark.parametrize(("values", "bits", "syntax"), [(GREY_12 // 16, 8, JPEG), (GREY_12, 12, JPEG_12)])
def test_lossy_jpeg(values: Any, bits: int, syntax: str) -> None:
    values = values.astype(np.uint8) if bits == 8 else values
    grey = decode_grey(dicom_bytes(values, bits, syntax)).astype(int)
    assert np.abs(grey - spread(values, 0, 2**bits - 1)).max() <= 3


@pytest.mark.parametrize("name", ["RLE", "bigendian", "implicit", "expb", "jp2klossless", "jpeg_ls_lossless", "padded"])
def test_one_image_in_many_encodings(name: str) -> None:
    plain = pydicom.dcmread(EXAMPLES / "MR_small.dcm")
    expected = spread(plain.pixel_array, 600 - 0.5 - 1599 / 2, 600 - 0.5 + 1599 / 2)
    assert (plain.WindowCenter, plain.WindowWidth) == (600, 1600)
    assert np.array_equal(decode_grey((EXAMPLES / f"MR_small_{name}.dcm").read_bytes()), expected)


def test_the_header_of_a_jp2_file_is_passed_over() -> None:
    """It has no place in DICOM, but is there now and then; a hostile one must not reach what would read it."""
    header = bytes.fromhex("0000000c6a5020200d0a870a") + b"\xff\xff\xff\xffjp2h" + bytes(range(64))
    data = pydicom.dcmread(io.BytesIO(dicom_bytes(GREY_12, 12, JPEG_2000)))
    (frame,) = generate_frames(data.PixelData, number_of_frames=1)
    data.PixelData = encapsulate([header + frame])
    written = io.BytesIO()
    data.save_as(written)
    assert np.array_equal(decode_grey(written.getvalue()), spread(GREY_12, GREY_12.min(), GREY_12.max()))


def test_monochrome1_is_turned_over() -> None:
    assert np.array_equal(decode_grey(dicom_bytes(GREY_8, PhotometricInterpretation="MONOCHROME1")), 255 - GREY_8)


def test_colours_become_luma() -> None:
    colours = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    luma = colours @ np.array([0.299, 0.587, 0.114])
    for syntax in (EXPLICIT, RLE, JPEG_2000):
        assert np.abs(decode_grey(dicom_bytes(colours, syntax=syntax)) - luma).max() <= 1
    planes = dicom_bytes(colours.transpose(2, 0, 1).reshape(20, 30, 3), PlanarConfiguration=1)
    assert np.abs(decode_grey(planes) - luma).max() <= 1
    ybr = dicom_bytes(colours, PhotometricInterpretation="YBR_FULL")
    assert np.array_equal(decode_grey(ybr), colours[:, :, 0])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (None, lambda x: (x - 1499.5) / 999 + 0.5),
        ("LINEAR", lambda x: (x - 1499.5) / 999 + 0.5),
        ("LINEAR_EXACT", lambda x: (x - 1500) / 1000 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 1500) / 1000))),
    ],
)
def test_rescale_and_window(function: str | None, expected: Any) -> None:
    extra = {} if function is None else {"VOILUTFunction": function}
    window = {"WindowCenter": [1500, 40], "WindowWidth": [1000, 400], "RescaleSlope": 2, "RescaleIntercept": -500}
    grey = decode_grey(dicom_bytes(GREY_12, 12, **window, **extra))
    assert np.array_equal(grey, spread(expected(GREY_12 * 2.0 - 500), 0, 1))


def test_a_negative_slope_turns_values_over() -> None:
    assert np.array_equal(decode_grey(dicom_bytes(GREY_8, RescaleSlope=-1, RescaleIntercept=255)), 255 - GREY_8)


def test_a_table_of_interest_comes_before_the_window() -> None:
    item = Dataset()
    item.LUTDescriptor = [256, 0, 16]
    item.LUTData = [(255 - i) * 257 for i in range(256)]
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "US"
    data = dicom_bytes(GREY_8, VOILUTSequence=Sequence([item]), WindowCenter=10, WindowWidth=2)
    assert np.array_equal(decode_grey(data), 255 - GREY_8)


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_without_width_says_nothing(width: int) -> None:
    assert np.array_equal(decode_grey(dicom_bytes(GREY_8, WindowCenter=3, WindowWidth=width)), GREY_8)


def test_bits_beside_the_value_are_ignored() -> None:
    values = RNG.integers(0, 4096, (24, 34)).astype(np.uint16)
    above = dicom_bytes(values | np.uint16(0xA000), 12)
    assert np.array_equal(decode_grey(above), spread(values, values.min(), values.max()))
    below = dicom_bytes((values << np.uint16(4)) | np.uint16(7), 12, HighBit=15)
    assert np.array_equal(decode_grey(below), spread(values, values.min(), values.max()))


def test_an_image_of_one_value_is_black() -> None:
    assert not decode_grey(dicom_bytes(np.full((9, 9), 700, np.uint16), 12)).any()


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Rows": 65535, "Columns": 65535}, "too_large"),
        ({"Rows": 100}, "truncated"),
        ({"Rows": 0}, "corrupt"),
        ({"Columns": None}, "corrupt"),
        ({"BitsStored": 0}, "corrupt"),
        ({"BitsStored": 12}, "corrupt"),
        ({"NumberOfFrames": 3}, "unsupported_format"),
        ({"BitsAllocated": 32}, "unsupported_format"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "unsupported_format"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "corrupt"),
        ({"WindowCenter": 1, "WindowWidth": 9, "VOILUTFunction": "MAGIC"}, "unsupported_format"),
    ],
)
def test_unusable_headers_are_rejected(elements: dict[str, Any], reason: str) -> None:
    assert rejected(dicom_bytes(GREY_8, **elements)).reason == reason


@pytest.mark.parametrize("syntax", [RLE, JPEG, JPEG_LOSSLESS, JPEG_LS, JPEG_2000])
def test_a_compressed_image_may_not_differ_from_its_header(syntax: str) -> None:
    assert rejected(dicom_bytes(GREY_8, syntax=syntax, Rows=23)).reason in ("corrupt", "truncated")


@pytest.mark.parametrize("syntax", [*LOSSLESS, JPEG])
def test_cut_files_are_rejected(syntax: str) -> None:
    whole = dicom_bytes(GREY_8, syntax=syntax)
    for length in [*range(132, len(whole) - 20, 37), len(whole) - 20]:
        assert rejected(whole[:length]).reason in ("corrupt", "truncated")


@pytest.mark.parametrize("syntax", [*LOSSLESS, JPEG, JPEG_12])
def test_damaged_files_never_do_worse_than_being_rejected(syntax: str) -> None:
    values = GREY_12 if syntax == JPEG_12 else GREY_8
    whole = dicom_bytes(values, 12 if syntax == JPEG_12 else 8, syntax, WindowCenter=5, WindowWidth=9)
    for _ in range(150):
        damaged = bytearray(whole)
        for position in RNG.integers(132, len(whole), 3):
            damaged[position] = RNG.integers(256)
        try:
            assert decode_grey(bytes(damaged)).dtype == np.uint8
        except ImageRejected as error:
            assert error.reason in ("corrupt", "truncated", "unsupported_format", "too_large")  # noqa: PT017


def test_deflated_files_are_not_inflated() -> None:
    assert rejected((EXAMPLES / "image_dfl.dcm").read_bytes()).detail == "deflated DICOM file"


def test_unknown_transfer_syntax_is_named() -> None:
    video = "1.2.840.10008.1.2.4.99"
    data = dicom_bytes(GREY_8, syntax=JPEG_LS).replace(JPEG_LS.encode(), video.encode())
    error = rejected(data)
    assert (error.reason, video in error.detail) == ("unsupported_format", True)


def test_neither_warnings_nor_details_tell_of_the_patient() -> None:
    data = dicom_bytes(GREY_8, PatientName="Doe^Jane", PatientAge="058Y").replace(b"058Y", b"Jane")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(decode_grey(data), GREY_8)
    assert "Jane" not in str(rejected(data[:-400]))


def test_without_the_extra_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_file.importlib.util, "find_spec", lambda name: None)
    error = rejected(dicom_bytes(GREY_8))
    assert error.reason == "unsupported_format"
    assert "cxr-spark[dicom]" in error.detail
