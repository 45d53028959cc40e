"""What the header of a DICOM image says of the person and the view, as it stands there. Needs the extra `dicom`."""

from __future__ import annotations

from typing import NamedTuple

from cxr_spark.imaging.dicom.header import is_dicom, read_dataset, reading
from cxr_spark.imaging.rejected import NOT_AN_IMAGE, ImageRejected

#: Bytes from the start of a file in which the header's first groups are found; a radiograph's take a few thousand.
HEADER_BYTES = 64 * 2**10


class Person(NamedTuple):
    """Texts of DICOM elements, empty where there are none.

    Attributes:
        sex: PatientSex.
        age: PatientAge, such as 058Y.
        view_position: ViewPosition.
    """

    sex: str
    age: str
    view_position: str


def read_person(data: bytes) -> Person:
    """Reads the first `HEADER_BYTES` of a DICOM file, or all of it.

    Raises:
        ImageRejected: it is no DICOM file, or damaged.
    """
    if not is_dicom(memoryview(data)):
        raise ImageRejected(NOT_AN_IMAGE, "not a DICOM file")
    names = ["PatientSex", "PatientAge", "ViewPosition"]
    dataset = read_dataset(data, stop_before_pixels=True, specific_tags=names)
    with reading("header"):
        return Person(*(str(dataset.get(name) or "").strip() for name in names))
