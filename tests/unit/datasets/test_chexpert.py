"""CheXpert's label files: observations, uncertainty, patients and splits from paths."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest

from cxr_spark.datasets.base import LabelFile, LabelTable
from cxr_spark.datasets.chexpert import chexpert_image_index, read_chexpert_labels
from cxr_spark.datasets.findings import CHEXPERT_FINDINGS
from cxr_spark.datasets.splits import assign_splits
from cxr_spark.errors import ConfigError, DataError

#: The header as it stands in CheXpert's own files.
COLUMNS = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,"
    "Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
HEADER = COLUMNS.split(",")
ROOT = "CheXpert-v1.0-small/"


def row(path: str, view: str = "AP", plane: str = "Frontal", age: str = "68", **observed: str) -> dict[str, str]:
    named = {name.replace("_", " "): value for name, value in observed.items()}
    return {"Path": path, "Sex": "Female", "Age": age, "Frontal/Lateral": plane, "AP/PA": view, **named}


def label_file(*rows: dict[str, str]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def read(data: bytes, source: str, uncertain: str | dict[str, str] = "ignore") -> LabelTable:
    return read_chexpert_labels([LabelFile(data, source)], uncertain)


FIRST = "train/patient00001/study1/view1_frontal.jpg"
SECOND = "train/patient00001/study2/view2_lateral.jpg"
VALID = "valid/patient64541/study1/view1_frontal.jpg"
ROWS = (
    row(ROOT + FIRST, Edema="1.0", Cardiomegaly="-1.0", Fracture="0.0", Atelectasis="-1.0"),
    row(ROOT + SECOND, view="", plane="Lateral", age="0", Pneumonia="1.0"),
    row("/data/" + VALID, view="LL", Support_Devices="1.0"),
)


def test_rows() -> None:
    labels = read(label_file(*ROWS), "train.csv")
    assert labels.findings == tuple(HEADER[5:]) == CHEXPERT_FINDINGS
    rows = labels.table.drop(["labels"]).to_pylist()
    person = {"patient_id": "patient00001", "sex": "F"}
    assert rows[0] == {"image_index": FIRST, "view_position": "AP", "age": 68.0, **person}
    assert rows[1] == {"image_index": SECOND, "view_position": "LATERAL", "age": 0.0, **person}
    assert rows[2]["view_position"] is None
    assert labels.given_split is not None
    assert labels.given_split.to_pylist() == ["train", "train", "valid"]
    assert labels.notes == {
        "rows": 3,
        "duplicates_dropped": 0,
        "ages_over_120": 0,
        "view_positions_unknown": 1,
        "sexes_unknown": 0,
        "uncertain": 2,
    }


@pytest.mark.parametrize(
    ("uncertain", "cardiomegaly", "atelectasis"),
    [
        ("zeros", 0.0, 0.0),
        ("ones", 1.0, 1.0),
        ("ignore", math.nan, math.nan),
        ({"Atelectasis": "ones", "Cardiomegaly": "zeros"}, 0.0, 1.0),
        ({"Atelectasis": "ones"}, math.nan, 1.0),
    ],
)
def test_uncertain_policies(uncertain: str | dict[str, str], cardiomegaly: float, atelectasis: float) -> None:
    labels = read(label_file(*ROWS), "train.csv", uncertain)
    matrix = np.stack(labels.table["labels"].to_numpy())
    expected = np.zeros((3, 14))
    for place, name, value in (
        (0, "Edema", 1), (0, "Cardiomegaly", cardiomegaly), (0, "Atelectasis", atelectasis), (1, "Pneumonia", 1),
        (2, "Support Devices", 1),
    ):  # fmt: skip
        expected[place, HEADER.index(name) - 5] = value
    np.testing.assert_array_equal(matrix, expected)


def test_its_own_split_can_be_used() -> None:
    table = assign_splits(read(label_file(*ROWS), "f"), "column").table
    assert table["split"].to_pylist() == ["train", "train", "val"]


def test_the_radiologists_labels_are_the_test_split() -> None:
    files = [LabelFile(label_file(*ROWS[:2]), "train.csv"), LabelFile(label_file(ROWS[2]), "valid.csv")]
    labels = read_chexpert_labels(files)
    assert (labels.usual_split, labels.notes["rows"], labels.notes["uncertain"]) == ("official", 3, 2)
    table = assign_splits(labels, "official", val_fraction=0).table
    assert table["split"].to_pylist() == ["train", "train", "test"]
    test = row(ROOT + "test/patient64741/study1/view1_frontal.jpg")
    table = assign_splits(read_chexpert_labels([*files, LabelFile(label_file(test), "test.csv")]), "official").table
    assert table["split"].to_pylist() == ["train", "train", "val", "test"]


def test_training_files_alone_are_split_by_patient() -> None:
    labels = read(label_file(*ROWS[:2]), "train.csv")
    assert (labels.usual_split, labels.official_split) == ("patient", None)


def test_an_image_in_two_files_is_refused() -> None:
    files = [LabelFile(label_file(*ROWS), "a.csv"), LabelFile(label_file(ROWS[1]), "b.csv")]
    with pytest.raises(DataError, match=r"image 'train/patient00001/study2/.*' is in two label files \(1 are\)"):
        read_chexpert_labels(files)


@pytest.mark.parametrize("root", ["file:///d/CheXpert-v1.0-small", "file:///d", "file:///d/CheXpert-v1.0-small/train"])
def test_files_are_named_as_in_the_label_file_whatever_folder_is_searched(root: str) -> None:
    assert chexpert_image_index(f"file:///d/CheXpert-v1.0-small/{FIRST}", root) == FIRST


def test_paths_with_backslashes_are_read() -> None:
    written = row("C:\\CheXpert-v1.0-small\\" + FIRST.replace("/", "\\"))
    labels = read_chexpert_labels([LabelFile(label_file(written), "a.csv")])
    assert labels.table["image_index"].to_pylist() == [FIRST]


def test_other_files_are_named_by_their_path() -> None:
    assert chexpert_image_index("hdfs://n:1/d/x/a.jpg", "hdfs://n:1/d") == "x/a.jpg"


@pytest.mark.parametrize(
    ("bad", "line", "what"),
    [
        (row(ROOT + FIRST, Edema="2.0"), 3, "Edema: '2.0' is not an observation"),
        (row(ROOT + FIRST, age="x"), 3, "Age: 'x' is not an age"),
        (row("images/1.jpg"), 3, "Path: 'images/1.jpg' is not a path of CheXpert"),
        (row("", Edema="1.0"), 3, "Path: ''"),
        (row(ROOT + VALID, Support_Devices="0.0"), 3, r"image 'valid/.*' is labelled '.*0\.0', but '.*1\.0' on line 2"),
    ],
)
def test_bad_rows_name_line_and_value(bad: dict[str, str], line: int, what: str) -> None:
    with pytest.raises(DataError, match=rf"train\.csv, line {line}: {what}"):
        read(label_file(ROWS[2], bad), "train.csv")


def test_repeated_rows_are_dropped_also_with_uncertain_labels() -> None:
    labels = read(label_file(ROWS[0], ROWS[0]), "f")
    assert labels.table.num_rows == 1
    assert (labels.notes["duplicates_dropped"], labels.notes["uncertain"]) == (1, 2)
    assert labels.given_split is not None
    assert len(labels.given_split) == 1


def test_another_label_file_is_refused() -> None:
    with pytest.raises(DataError, match=r"no column 'Path', .*Expected CheXpert's label file"):
        read(b"Image Index,Finding Labels\na.png,Mass\n", "f")


@pytest.mark.parametrize("uncertain", ["maybe", {"Mass": "ones"}, {"Edema": "2"}])
def test_unknown_policies(uncertain: str | dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"uncertain: '(maybe|Mass|2)'"):
        read(label_file(*ROWS), "f", uncertain)


def labels_of(labels: LabelTable) -> np.ndarray:
    return np.stack(labels.table["labels"].to_numpy())


@pytest.mark.parametrize("missing", ["", "NA", "nan", "None"])
def test_a_missing_observation_is_one_that_is_not_mentioned(missing: str) -> None:
    expected = read(label_file(row(ROOT + FIRST, Edema="")), "f").table
    assert read(label_file(row(ROOT + FIRST, Edema=missing)), "f").table.equals(expected)


def test_findings_and_columns_are_known_whatever_their_spelling() -> None:
    data = label_file(*ROWS)
    header, rows = data.split(b"\n", 1)
    odd = header.lower().replace(b"pleural effusion", b"Pleural_Effusion").replace(b" ", b"")
    assert read(odd + b"\n" + rows, "f").table.to_pydict() | {"labels": 0} == read(data, "f").table.to_pydict() | {
        "labels": 0
    }
    np.testing.assert_array_equal(labels_of(read(odd + b"\n" + rows, "f")), labels_of(read(data, "f")))
    loud = read_chexpert_labels([LabelFile(data, "f")], {"edema": "ones", "lung opacity": "zeros"})
    exact = read_chexpert_labels([LabelFile(data, "f")], {"Edema": "ones", "Lung Opacity": "zeros"})
    np.testing.assert_array_equal(labels_of(loud), labels_of(exact))
