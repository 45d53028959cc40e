"""Patients from names of images, and what is said where they are not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from cxr_spark.config.labels import LabelSettings
from cxr_spark.datasets.base import LabelFile, LabelTable, label_table
from cxr_spark.datasets.patients import with_patients_by_pattern
from cxr_spark.datasets.registry import LabelSource, dataset_named
from cxr_spark.datasets.rsna import read_rsna_labels
from cxr_spark.datasets.splits import assign_splits
from cxr_spark.errors import DataError


def table(names: list[str], patients: list[str | None]) -> LabelTable:
    return LabelTable(label_table(names, patients, np.zeros((len(names), 1), np.float32)), ("A",))


def test_a_pattern_names_the_patients_and_keeps_them_in_one_split() -> None:
    names = [f"ward/P{i:03d}_{k}.png" for i in range(40) for k in range(3)] + ["stray.png"]
    labels = with_patients_by_pattern(table(names, [None] * len(names)), r"/(P\d+)_")
    table_of_splits = assign_splits(labels, "patient").table
    patients = table_of_splits["patient_id"].to_pylist()
    assert patients == [name[5:9] if "/" in name else None for name in names]
    places = set(zip(patients, table_of_splits["split"].to_pylist(), strict=True))
    assert len(places) == 41
    assert labels.notes["patients_unknown"] == 1


def test_a_pattern_goes_with_every_dataset() -> None:
    settings = LabelSettings(patient_pattern="/(.)")
    folders = dataset_named("folder").read_labels(LabelSource((), ["A/1.png", "B/1.png", "B/2.png"], settings))
    assert folders.table["patient_id"].to_pylist() == ["1", "1", "2"]
    own = LabelFile(b"image,pid,A\nx/7.png,other,1\n", "own.csv")
    labels = dataset_named("csv").read_labels(LabelSource((own,), [], settings))
    assert labels.table["patient_id"].to_pylist() == ["7"]


def test_a_pattern_that_fits_nothing_is_refused() -> None:
    with pytest.raises(DataError, match=r"finds a patient in none of 2 names of images, such as 'a.png'"):
        with_patients_by_pattern(table(["a.png", "b.png"], [None, None]), r"(P\d+)")


@pytest.mark.parametrize(
    ("pattern", "said"), [("P", "has 0 groups"), ("(a)(b)", "has 2 groups"), ("(", "is no regular")]
)
def test_what_is_no_pattern_is_refused_before_any_work(pattern: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LabelSettings(patient_pattern=pattern)


@pytest.mark.parametrize("method", ["patient", "column"])
def test_unknown_patients_are_told_loudly(method: str) -> None:
    import pyarrow as pa

    labels = table([f"{i}.png" for i in range(10)], [None] * 4 + list("abcdef"))
    labels = LabelTable(labels.table, labels.findings, given_split=pa.array(["train", "test"] * 5))
    found = assign_splits(labels, method)
    assert found.may_share_patients
    assert found.warnings[0].startswith("SPLITS MAY SHARE PATIENTS: the patient of 4 of 10 images is not known")


def test_nothing_is_said_where_all_are_known_or_the_makers_split() -> None:
    import pyarrow as pa

    known = assign_splits(table([f"{i}.png" for i in range(10)], list("aabbccddee")), "patient")
    labels = table([f"{i}.png" for i in range(10)], [None] * 10)
    official = assign_splits(
        LabelTable(labels.table, labels.findings, official_split=pa.array(["train", "test"] * 5)), "official"
    )
    assert not known.may_share_patients
    assert not official.may_share_patients
    assert not [line for line in (*known.warnings, *official.warnings) if "SHARE" in line]


@pytest.mark.parametrize("known", [0, 2, 3])
def test_rsna_names_images_and_no_persons(known: int) -> None:
    labels = read_rsna_labels([LabelFile(b"patientId,Target\na,0\nb,1\nc,0\n", "rsna.csv")])
    patients = [f"person{i}" if i < known else name for i, name in enumerate("abc")]  # what the headers say
    table = labels.table.set_column(1, labels.table.schema.field("patient_id"), pa.array(patients))
    assigned = assign_splits(replace(labels, table=table), "patient")
    assert assigned.may_share_patients is (known < 3)
    told = f"SPLITS MAY SHARE PATIENTS: the patient of {3 - known} of 3 images is not known (the labels name images"
    assert any(told in line for line in assigned.warnings) is (known < 3)
