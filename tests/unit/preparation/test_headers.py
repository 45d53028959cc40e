"""Headers of DICOM images on the executors' side, and what is understood of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest

from cxr_spark.datasets.persons import understood
from cxr_spark.imaging.dicom.person import HEADER_BYTES, Person, read_person
from cxr_spark.imaging.rejected import ImageRejected
from cxr_spark.preparation import headers
from cxr_spark.preparation.headers import _parts, read_headers
from tests.support.dicom_files import BIG, EXPLICIT, IMPLICIT, JPEG_LS, dicom_bytes

PIXELS = np.zeros((300, 300), np.uint8)
JANE = {"PatientSex": "F", "PatientAge": "058Y", "ViewPosition": "PA"}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, JPEG_LS])
def test_the_beginning_of_a_file_is_enough(syntax: str) -> None:
    whole = dicom_bytes(PIXELS, syntax=syntax, **JANE)
    assert syntax == JPEG_LS or len(whole) > HEADER_BYTES
    assert read_person(whole) == read_person(whole[:HEADER_BYTES]) == Person("F", "058Y", "PA")


def test_what_is_not_there_is_empty() -> None:
    assert read_person(dicom_bytes(PIXELS, PatientSex="")) == Person("", "", "")


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 500])
def test_what_is_no_header_is_rejected(data: bytes) -> None:
    with pytest.raises(ImageRejected):
        read_person(data)


def test_unreadable_files_do_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom_bytes(PIXELS, **JANE))
    (tmp_path / "b.dcm").write_bytes(b"no DICOM")
    uris = [f"file://{tmp_path}/{name}.dcm" for name in "abca"]
    assert list(read_headers([uris[:3], uris[3:]])) == [Person(*JANE.values()), None, None, Person(*JANE.values())]


@pytest.mark.parametrize(
    ("person", "expected"),
    [
        (Person("F", "058Y", "PA"), ("F", 58.0, "PA", None)),
        (Person("m", "51", "ap", "P7"), ("M", 51.0, "AP", "P7")),
        (Person("O", "018M", "LL"), (None, 1.5, "LATERAL", None)),
        (Person("", "old", "OBLIQUE"), (None, None, None, None)),
    ],
)
def test_what_isunderstood(person: Person, expected: tuple[object, ...]) -> None:
    assert understood(person) == expected


def test_every_image_is_in_one_part() -> None:
    uris = [str(i) for i in range(5000)]
    parts = _parts(uris, 2)
    assert [uri for part in parts for uri in part] == uris
    assert len(parts) == 8
    assert len(_parts(uris[:10], 16)) == 1


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
@pytest.mark.parametrize("private", [100_000, 3_000_000])
def test_headers_behind_long_private_elements_are_read(tmp_path: Path, syntax: str, private: int) -> None:
    whole = dicom_bytes(PIXELS, syntax=syntax, **JANE)
    dataset = pydicom.dcmread(io.BytesIO(whole))
    dataset.private_block(0x0009, "MAKER", create=True).add_new(0x10, "OB", b"\1" * private)
    dataset.save_as(tmp_path / "long.dcm")
    assert (tmp_path / "long.dcm").read_bytes().index(b"058Y") > private
    assert list(read_headers([[f"file://{tmp_path}/long.dcm"]])) == [Person(*JANE.values())]


def test_headers_of_endless_private_elements_are_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "LONGER_HEADER_BYTES", (100_000,))
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(PIXELS, **JANE)))
    dataset.private_block(0x0009, "MAKER", create=True).add_new(0x10, "OB", b"\1" * 200_000)
    dataset.save_as(tmp_path / "long.dcm")
    assert list(read_headers([[f"file://{tmp_path}/long.dcm"]])) == [None]


def test_headers_without_preamble_are_read(tmp_path: Path) -> None:
    whole = dicom_bytes(PIXELS, **JANE)
    (tmp_path / "meta.dcm").write_bytes(whole[132:])
    (tmp_path / "bare.dcm").write_bytes(whole[whole.index(b"\x10\x00\x40\x00CS") :])
    uris = [f"file://{tmp_path}/{name}.dcm" for name in ("meta", "bare")]
    assert list(read_headers([uris])) == [Person(*JANE.values())] * 2
