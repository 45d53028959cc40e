"""From stored values to grey: tables, padding and rescale as files in the wild have them. Truth: pydicom."""

from __future__ import annotations

import io
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.rejected import CORRUPT, ImageRejected
from tests.support.dicom_files import BIG, EXPLICIT, IMPLICIT, dicom_bytes

RNG = np.random.default_rng(3)
VALUES = (np.linspace(0, 4095, 40 * 50).reshape(40, 50)).astype(np.uint16)


def table(entries: list[int], declared_bits: int, first: int = 0, vr: str = "US") -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, declared_bits]
    item.LUTData = np.asarray(entries, "<u2").tobytes() if vr == "OW" else entries
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", vr
    return Sequence([item])


def spread(values: Any, low: float, high: float) -> Any:
    return np.rint(255 * np.clip((np.asarray(values, float) - low) / (high - low), 0, 1)).astype(np.uint8)


@pytest.mark.parametrize("used", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("vr", ["US", "OW"])
def test_a_table_of_interest_that_declares_more_bits_than_it_holds(used: int, vr: str) -> None:
    entries = [round(i / 4095 * (2**used - 1)) for i in range(4096)]
    honest = dicom_bytes(VALUES, 12, VOILUTSequence=table(entries, used, vr=vr))
    shown = np.asarray(entries)[VALUES]
    if used > 8:  # pydicom's positions overflow in tables of 8 bits
        assert np.array_equal(apply_voi_lut(VALUES, pydicom.dcmread(io.BytesIO(honest))), shown)
    assert np.array_equal(decode_grey(honest), spread(shown, 0, 2**used - 1))
    declared = dicom_bytes(VALUES, 12, VOILUTSequence=table(entries, 16, vr=vr))
    assert np.array_equal(decode_grey(declared), decode_grey(honest))


def test_values_outside_a_table_get_its_first_and_last_entry() -> None:
    data = dicom_bytes(VALUES, 12, VOILUTSequence=table(list(range(0, 4096, 16)), 12, first=1000))
    shown = apply_voi_lut(VALUES, pydicom.dcmread(io.BytesIO(data)))
    assert np.array_equal(decode_grey(data), spread(shown, 0, 4095))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_table_of_the_modality_may_have_any_number_of_bits(bits: int) -> None:
    entries = [round((4095 - i) / 4095 * (2**bits - 1)) for i in range(4096)]
    data = dicom_bytes(VALUES, 12, ModalityLUTSequence=table(entries, bits))
    shown = np.asarray(entries)[VALUES]
    assert np.array_equal(decode_grey(data), spread(shown, shown.min(), shown.max()))
    if bits in (8, 16):  # pydicom knows no others
        assert np.array_equal(apply_modality_lut(VALUES, pydicom.dcmread(io.BytesIO(data))), shown)


def test_a_table_that_is_shorter_than_it_says_is_rejected() -> None:
    sequence = table([1, 2, 3], 12)
    sequence[0].LUTDescriptor = [4096, 0, 12]
    with pytest.raises(ImageRejected, match="lookup table of 3 entries"):
        decode_grey(dicom_bytes(VALUES, 12, VOILUTSequence=sequence))


@pytest.mark.parametrize(
    "missing", [{"RescaleSlope": None}, {"RescaleIntercept": None}, {"RescaleSlope": "", "RescaleIntercept": ""}]
)
def test_empty_rescale_elements_change_nothing(missing: dict[str, Any]) -> None:
    assert np.array_equal(decode_grey(dicom_bytes(VALUES, 12, **missing)), spread(VALUES, 0, 4095))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize(("kind", "padding"), [("u2", 65535), ("u2", 0), ("i2", -32768), ("i2", 32767)])
def test_padding_does_not_count_in_the_spread_and_is_black(syntax: str, kind: str, padding: int) -> None:
    picture = (1000 + VALUES // 10).astype(kind)
    padded = picture.copy()
    padded[:5] = padded[:, -3:] = padding
    low, high = picture[5:, :-3].min(), picture[5:, :-3].max()
    for photometric in ("MONOCHROME2", "MONOCHROME1"):
        data = dicom_bytes(padded, syntax=syntax, PixelPaddingValue=padding, PhotometricInterpretation=photometric)
        grey = decode_grey(data)
        expected = spread(picture, low, high)
        expected = expected if photometric == "MONOCHROME2" else 255 - expected
        assert np.array_equal(grey[5:, :-3], expected[5:, :-3])
        assert not grey[:5].any()
        assert not grey[:, -3:].any()


def test_a_range_of_padding() -> None:
    padded = (1000 + VALUES // 10).astype(np.uint16)
    padded[:2], padded[2:4] = 10, 200
    data = dicom_bytes(padded, PixelPaddingValue=0, PixelPaddingRangeLimit=300)
    assert np.array_equal(decode_grey(data)[4:], spread(padded, padded[4:].min(), padded.max())[4:])
    assert not decode_grey(data)[:4].any()


def test_an_image_of_padding_alone_is_black() -> None:
    assert not decode_grey(dicom_bytes(np.full((9, 9), 65535, np.uint16), PixelPaddingValue=65535)).any()


#: Numbers as texts that no picture needs and damaged files have.
BEYOND = ["1e308", "-1e308", "1e300", "1e-320", "1e19"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("element", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("number", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("more", [{}, {"VOILUTSequence": table(list(range(4096)), 12)}, {"WindowWidth": 9}])
def test_a_rescale_by_no_number_is_rejected_without_a_warning(element: str, number: str, more: dict[str, Any]) -> None:
    data = dicom_bytes(VALUES, 12, **{element: number, "WindowCenter": 4, **more})
    with pytest.raises(ImageRejected, match="DICOM rescale by a number that is not finite") as rejected:
        decode_grey(data)
    assert rejected.value.reason == CORRUPT


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
def test_numbers_beyond_measure_are_a_picture_or_one_reason_and_never_a_warning(function: str | None) -> None:
    seen = Counter[str]()
    windows = [*product(["1e308", "1e-320"], ["1e308", "1e-320", "5"])] if function else [("", "")]
    for slope, intercept, (center, width) in product([*BEYOND, "1"], [*BEYOND, "0"], windows):
        window = {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function}
        elements = window if function else {"VOILUTSequence": table(list(range(4096)), 12)}
        data = dicom_bytes(VALUES, 12, RescaleSlope=slope, RescaleIntercept=intercept, **elements)
        try:
            assert decode_grey(data).shape == VALUES.shape
            seen["picture"] += 1
        except ImageRejected as rejected:
            seen[rejected.reason] += 1
    assert seen.keys() == {"picture", CORRUPT}


def test_a_table_takes_values_beyond_the_integers() -> None:
    data = dicom_bytes(VALUES, 12, RescaleSlope="1e300", VOILUTSequence=table(list(range(4096)), 12))
    assert np.array_equal(decode_grey(data), np.where(VALUES == 0, 0, 255))
