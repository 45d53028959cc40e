"""The facts on patient and view in the header of a DICOM image, written as in the label tables."""

from __future__ import annotations

from typing import NamedTuple

from cxr_spark.datasets.columns import SEXES, VIEWS, parse_age
from cxr_spark.imaging.dicom.person import Person


class Facts(NamedTuple):
    """The facts on an image; None for what is not known.

    Attributes:
        sex: M or F.
        age: the age in years.
        view_position: PA, AP or LATERAL.
        patient_id: the PatientID, unchanged.
    """

    sex: str | None
    age: float | None
    view_position: str | None
    patient_id: str | None = None


def understood(person: Person) -> Facts:
    """Returns the facts that the texts of a header mean."""
    try:
        age = parse_age(person.age)
    except ValueError:
        age = None
    view = VIEWS.get(person.view_position.upper())
    return Facts(SEXES.get(person.sex.upper()), age, view, person.patient_id or None)
