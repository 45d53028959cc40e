"""Which DICOM images are taken for frontal radiographs of the chest."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest

from cxr_spark.imaging.dicom.gate import DicomGate
from cxr_spark.imaging.rejected import OTHER_BODY_PART, OTHER_MODALITY, OTHER_VIEW, REASONS, ImageRejected
from tests.support.dicom_files import dicom_bytes

PIXELS = np.zeros((8, 8), np.uint8)
CHEST = {"Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "PA"}


def file(**elements: str) -> bytes:
    return dicom_bytes(PIXELS, **{**CHEST, **elements})


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"Modality": "CR"},
        {"BodyPartExamined": "PORT CHEST"},
        {"BodyPartExamined": "Thorax"},
        {"ViewPosition": ""},
    ],
)
def test_frontal_chest_radiographs_pass(elements: dict[str, str]) -> None:
    seen = DicomGate("refuse", "refuse", "refuse").look(file(**elements))
    assert seen.doubts == ()
    assert seen.header is not None


def test_what_says_nothing_passes() -> None:
    every = DicomGate("refuse", "refuse", "refuse")
    assert every.look(dicom_bytes(PIXELS)).doubts == ()
    assert every.look(b"\x89PNG\r\n\x1a\n" + b"\0" * 600).header is None


@pytest.mark.parametrize(
    ("element", "value", "setting", "reason"),
    [
        ("Modality", "CT", "modality", OTHER_MODALITY),
        ("Modality", "MG", "modality", OTHER_MODALITY),
        ("BodyPartExamined", "HAND", "body_part", OTHER_BODY_PART),
        ("BodyPartExamined", "RIB", "body_part", OTHER_BODY_PART),
        ("ViewPosition", "LL", "view", OTHER_VIEW),
        ("ViewPosition", "RAO", "view", OTHER_VIEW),
    ],
)
def test_others_are_refused_warned_of_or_taken(element: str, value: str, setting: str, reason: str) -> None:
    data = file(**{element: value})
    with pytest.raises(ImageRejected) as caught:
        DicomGate(**{setting: "refuse"}).look(data)
    assert caught.value.reason == reason
    assert reason in REASONS
    assert f"{element} {value!r}" in caught.value.detail
    assert DicomGate(**{setting: "warn"}).look(data).doubts == (reason,)
    assert DicomGate(**{setting: "take"}).look(data).doubts == ()


@pytest.mark.parametrize(("modality", "kind"), [("SR", "Structured Report"), ("PR", "Presentation State")])
def test_objects_without_pixels_are_named_and_not_taken_for_another_modality(modality: str, kind: str) -> None:
    dataset = pydicom.dcmread(io.BytesIO(file(Modality=modality)))
    for name in ("PixelData", "Rows", "Columns"):
        delattr(dataset, name)
    content = io.BytesIO()
    dataset.save_as(content)
    for action in ("refuse", "take"):
        with pytest.raises(ImageRejected) as caught:
            DicomGate(action, action, action).look(content.getvalue())
        assert f"holds no pixels ({kind})" in caught.value.detail
    with pytest.raises(ImageRejected) as caught:  # with pixels it is an image all the same
        DicomGate().look(file(Modality=modality))
    assert caught.value.reason == OTHER_MODALITY


def test_by_default_views_are_warned_of_and_all_else_is_refused() -> None:
    assert DicomGate().look(file(ViewPosition="LATERAL")).doubts == (OTHER_VIEW,)
    for elements in ({"Modality": "CT"}, {"BodyPartExamined": "SKULL"}):
        with pytest.raises(ImageRejected):
            DicomGate().look(file(**elements))
