"""What the header of a DICOM image says of patient and view, as it stands there. Needs the extra `dicom`."""

from __future__ import annotations

from typing import Any, NamedTuple

from cxr_spark.imaging.dicom.file import is_dicom, read_dataset, reading
from cxr_spark.imaging.rejected import CORRUPT, NOT_AN_IMAGE, TRUNCATED, ImageRejected

#: Bytes from the start of a file in which the header's first groups are found; a radiograph's take a few thousand.
HEADER_BYTES = 64 * 2**10
#: Files whose private elements come first are read further, in these steps; headers longer than the last are not read.
LONGER_HEADER_BYTES = (2 * 2**20, 32 * 2**20)

_NAMES = {
    "PatientSex": 0x00100040,
    "PatientAge": 0x00101010,
    "ViewPosition": 0x00185101,
    "PatientID": 0x00100020,
    "Modality": 0x00080060,
    "BodyPartExamined": 0x00180015,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "SOPInstanceUID": 0x00080018,
}
#: Elements are in the order of their tags: behind this one there is nothing more to find.
_LAST = max(_NAMES.values())


class Person(NamedTuple):
    """Texts of DICOM elements, empty where there are none.

    Attributes:
        sex: PatientSex.
        age: PatientAge, such as 058Y.
        view_position: ViewPosition.
        patient_id: PatientID.
        modality: Modality, such as DX.
        body_part: BodyPartExamined.
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        instance: SOPInstanceUID.
    """

    sex: str
    age: str
    view_position: str
    patient_id: str = ""
    modality: str = ""
    body_part: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""


class HeaderCutError(ImageRejected):
    """The bytes given end before all that is looked for could have come: more of the file is needed."""


def read_person(data: bytes, *, whole: bool = True) -> Person:
    """Reads patient, sex, age and view from a DICOM file or its beginning.

    Args:
        data: the file, or its first bytes.
        whole: False if the file goes on behind `data`.

    Raises:
        HeaderCutError: the file goes on, and the elements may still come.
        ImageRejected: it is no DICOM file, or damaged.
    """
    if not is_dicom(memoryview(data)):
        raise ImageRejected(NOT_AN_IMAGE, "not a DICOM file")
    passed = False

    def is_behind(tag: Any, vr: str | None, length: int) -> bool:
        nonlocal passed
        passed = int(tag) > _LAST
        return passed

    try:
        dataset = read_dataset(data, stop_when=is_behind, tags=list(_NAMES.values()))
        with reading("header"):
            person = Person(*(str(dataset.get(name) or "").strip() for name in _NAMES))
    except ImageRejected as error:
        if whole or error.reason != CORRUPT:
            raise
        passed = False  # an element that is cut cannot be told from a damaged one
    if not passed and not whole:
        raise HeaderCutError(TRUNCATED, f"DICOM header longer than {len(data)} bytes")
    return person
