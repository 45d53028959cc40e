"""RSNA's label files: boxes, targets, classes, and whether the two agree."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_spark.datasets.base import LabelFile, LabelTable
from cxr_spark.datasets.rsna import CLASSES, read_rsna_labels
from cxr_spark.errors import DataError

#: As they stand in RSNA's own files.
TARGETS = """patientId,x,y,width,height,Target
0004cfab-14fd-4e49-80ba-63a80b6bddd6,,,,,0
00436515-870c-4b36-a041-de91049b9ab4,264.0,152.0,213.0,379.0,1
00436515-870c-4b36-a041-de91049b9ab4,562.0,152.0,256.0,453.0,1
003d8fa0-6bf1-40ed-b54c-ac657f8495c5,,,,,0
"""
DETAILS = """patientId,class
0004cfab-14fd-4e49-80ba-63a80b6bddd6,No Lung Opacity / Not Normal
00436515-870c-4b36-a041-de91049b9ab4,Lung Opacity
00436515-870c-4b36-a041-de91049b9ab4,Lung Opacity
003d8fa0-6bf1-40ed-b54c-ac657f8495c5,Normal
"""
NAMES = [line.split(",")[0] for line in (TARGETS.splitlines()[i] for i in (1, 2, 4))]


def read(*texts: str) -> LabelTable:
    return read_rsna_labels([LabelFile(text.encode(), f"{i}.csv") for i, text in enumerate(texts)])


def matrix(labels: LabelTable) -> list[list[float]]:
    rows: list[list[float]] = np.stack(labels.table["labels"].to_numpy()).tolist()
    return rows


def test_targets_are_one_finding_and_one_row_a_patient() -> None:
    labels = read(TARGETS)
    assert labels.findings == ("Pneumonia",)
    assert labels.table["image_index"].to_pylist() == labels.table["patient_id"].to_pylist() == NAMES
    assert matrix(labels) == [[0], [1], [0]]
    assert labels.notes == {"rows": 4, "boxes": 2}
    assert labels.usual_split == "patient"


def test_the_detailed_file_gives_three_classes_alone_or_with_the_targets() -> None:
    for labels in (read(DETAILS), read(TARGETS, DETAILS), read(DETAILS, TARGETS)):
        assert labels.findings == CLASSES == ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
        assert matrix(labels) == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert read(TARGETS, DETAILS).notes == {"rows": 8, "boxes": 2}


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        ([TARGETS.replace(",0\n", ",2\n", 1)], r"0\.csv, line 2: Target: '2' is not a target"),
        ([TARGETS.replace("453.0,1", "453.0,0")], r"line 4: image '00436515.*' is labelled '0', but '1' on line 3"),
        ([DETAILS.replace(",Normal", ",Healthy")], r"line 5: class: 'Healthy' is not a class"),
        (["patientId,class\n,Normal\n"], "line 2: patientId: is empty"),
        (["Path,Sex\na,b\n"], r"no column 'patientId', 'Target'.*Expected RSNA's"),
        ([TARGETS, DETAILS.replace(",Normal", ",Lung Opacity")], r"'003d8fa0.*do not agree .*\(1 such images\)"),
        ([TARGETS, DETAILS.rpartition("003d")[0]], r"'003d8fa0.*do not agree"),
        ([TARGETS, TARGETS], "is in two label files"),
    ],
)
def test_wrong_files(texts: list[str], what: str) -> None:
    with pytest.raises(DataError, match=what):
        read(*texts)


def test_a_target_may_be_written_as_a_decimal_number() -> None:
    assert read(TARGETS.replace(",1\n", ",1.0\n").replace(",0\n", ",0.0\n")).table.equals(read(TARGETS).table)
    odd = DETAILS.replace("Lung Opacity", "lung opacity").replace("Normal", "NORMAL")
    assert read(odd).table.equals(read(DETAILS).table)
