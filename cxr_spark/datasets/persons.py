"""What the header of a DICOM image says of patient and view, in the words of the label tables."""

from __future__ import annotations

from typing import NamedTuple

from cxr_spark.datasets.columns import SEXES, VIEWS, parse_age
from cxr_spark.imaging.dicom.person import Person


class Facts(NamedTuple):
    """What is known of an image; None where it is not.

    Attributes:
        sex: M or F.
        age: years.
        view_position: PA, AP or LATERAL.
        patient_id: PatientID as it stands.
    """

    sex: str | None
    age: float | None
    view_position: str | None
    patient_id: str | None = None


def understood(person: Person) -> Facts:
    """Returns what the texts of a header mean."""
    try:
        age = parse_age(person.age)
    except ValueError:
        age = None
    view = VIEWS.get(person.view_position.upper())
    return Facts(SEXES.get(person.sex.upper()), age, view, person.patient_id or None)
