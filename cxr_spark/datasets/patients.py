"""Finds the patients of images by a pattern in their names, and warns where patients are not known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.csv_table import shorten
from cxr_spark.errors import DataError

#: The number of characters of a name that a pattern is searched in. A careless pattern takes hours on a long name.
_LONGEST_NAME = 4096


def with_patients_by_pattern(labels: LabelTable, pattern: str) -> LabelTable:
    """Finds the patients by a pattern in the names of the images.

    Args:
        labels: the labels, whose patients are replaced.
        pattern: a regular expression with one group, the patient; it is searched for in every `image_index`.

    Returns:
        The labels. Images whose names the pattern does not fit get no patient; the note `patients_unknown` counts them.

    Raises:
        DataError: the pattern fits no name at all.
    """
    compiled = re.compile(pattern)
    names = labels.table["image_index"].to_pylist()
    matches = [compiled.search(name[:_LONGEST_NAME]) for name in names]
    patients = [match[1] or None if match else None for match in matches]
    if names and not any(patients):
        raise DataError(
            f"prepare.patient_pattern {shorten(pattern)!r} finds a patient in none of {len(names)} names of images, "
            f"such as {shorten(names[0])!r}: mend the pattern"
        )
    return replace(
        labels,
        table=_with_column(labels.table, patients),
        notes={**labels.notes, "patients_unknown": patients.count(None)},
        patients_by_name=False,
        patients_are_images=False,
    )


def may_share_patients(table: pa.Table, method: str, patients_are_images: bool = False) -> str | None:
    """Warns where splits may share patients.

    Args:
        table: labelled images in splits.
        method: the method by which they were split. The splits of a dataset's makers (`official`) are trusted.
        patients_are_images: whether a patient with the name of the image is none, as in RSNA's label files.

    Returns:
        One line with numbers and remedy; None where all patients are known or the makers split the images.
    """
    unknown, why = table["patient_id"].null_count, ""
    if patients_are_images:
        same = pc.sum(pc.equal(table["patient_id"], table["image_index"])).as_py() or 0
        unknown, why = unknown + same, " (the labels name images, and the headers no other patient)" if same else ""
    if not unknown or method == "official":
        return None
    return (
        f"SPLITS MAY SHARE PATIENTS: the patient of {unknown} of {table.num_rows} images is not known{why}, and each "
        "of these was taken for a patient of its own, so that training, validation and test images may be of one "
        "person and results may be too good; name the patients by --patient-pattern, or by --patient-column of "
        "--dataset csv"
    )


def _with_column(table: pa.Table, patients: Sequence[str | None]) -> pa.Table:
    place = table.schema.get_field_index("patient_id")
    return table.set_column(place, table.schema.field(place), pa.array(patients, type=pa.string()))
