"""NIH's label file in its two generations, minimal ones, and wrong ones."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import random

import numpy as np
import pytest

from cxr_spark.datasets.base import UNSPLIT_LABELS
from cxr_spark.datasets.findings import NIH_FINDINGS
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.errors import DataError

HEADER_2017 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
FIRST = "00000001_000.png,Cardiomegaly|Emphysema,000,00000001,058Y,M,PA,2682,2749,0.143,0.143"
SECOND = "00000002_000.png,No Finding,000,00000002,018M,F,AP,2500,2048,0.171,0.171"


def generation_2017(*rows: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (HEADER_2017, *rows)).encode()


def minimal(*rows: str, header: str = "Image Index,Finding Labels") -> bytes:
    return "\n".join([header, *rows]).encode()


def present(row: dict[str, object]) -> set[str]:
    labels = row["labels"]
    assert isinstance(labels, list)
    assert set(labels) <= {0.0, 1.0}
    return {name for name, value in zip(NIH_FINDINGS, labels, strict=True) if value}


def test_2017_rows() -> None:
    labels = read_nih_labels(generation_2017(FIRST, SECOND), "f")
    assert labels.findings == NIH_FINDINGS
    assert labels.table.schema.equals(UNSPLIT_LABELS)
    first, second = labels.table.to_pylist()
    assert present(first) == {"Cardiomegaly", "Emphysema"}
    assert present(second) == {"No Finding"}
    del first["labels"], second["labels"]
    assert first == {"image_index": "00000001_000.png", "patient_id": "1", "view_position": "PA", "sex": "M", "age": 58}
    assert second == {
        "image_index": "00000002_000.png",
        "patient_id": "2",
        "view_position": "AP",
        "sex": "F",
        "age": 1.5,
    }
    assert labels.given_split is None


def test_both_generations_give_the_same_table() -> None:
    new = (
        f"{HEADER_2017.rstrip(',')}\n00000001_000.png,Cardiomegaly|Emphysema,0,1,58,M,PA,2682,2749,0.143,0.143\n"
    ).encode()
    assert read_nih_labels(generation_2017(FIRST), "f").table.equals(read_nih_labels(new, "f").table)


def test_columns_in_any_order_quoted_and_gzipped() -> None:
    names = HEADER_2017.rstrip(",").split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in (FIRST, SECOND)]
    random.Random(3).shuffle(names)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    data = gzip.compress(b"\xef\xbb\xbf" + buffer.getvalue().encode())
    assert read_nih_labels(data, "f").table.equals(read_nih_labels(generation_2017(FIRST, SECOND), "f").table)


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("058Y", 58.0),
        ("58", 58.0),
        ("58.0", 58.0),
        ("058y", 58.0),
        ("018M", 1.5),
        ("001D", 1 / 365.25),
        ("002W", 14 / 365.25),
        ("120", 120.0),
        ("000Y", 0.0),
        ("", None),
        ("121Y", None),
        ("414Y", None),
        ("1440M", 120.0),
    ],
)
def test_ages_are_years(age: str, years: float | None) -> None:
    labels = read_nih_labels(generation_2017(FIRST.replace("058Y", age)), "f")
    assert labels.table["age"].to_pylist() == [pytest.approx(years) if years else years]
    assert labels.notes["ages_over_120"] == (years is None and age != "")


@pytest.mark.parametrize("age", ["old", "-3", "58 years", "58X", "inf", "0x10", "5e1", "٥٨", "99999", "58YY"])
def test_bad_age_names_line_and_value(age: str) -> None:
    with pytest.raises(DataError, match=r"f\.csv, line 3: Patient Age:") as caught:
        read_nih_labels(generation_2017(FIRST, SECOND.replace("018M", age)), "f.csv")
    assert repr(age) in str(caught.value)


def test_minimal_file_takes_patients_from_nih_names() -> None:
    labels = read_nih_labels(minimal("00000100_000.png,Mass", "00000100_001.png,Mass", "scan7.png,Nodule"), "f")
    assert labels.table["patient_id"].to_pylist() == ["100", "100", None]
    assert labels.notes["patients_unknown"] == 1
    assert (
        labels.table.select(["view_position", "sex", "age"]).to_pylist()
        == [{"view_position": None, "sex": None, "age": None}] * 3
    )


def test_patient_column_wins_over_the_name() -> None:
    data = minimal(
        "00000100_000.png,Mass,007",
        "a.png,Mass,P-17",
        "b.png,Mass,",
        "c.png,Mass,12.0",
        "d.png,Mass,000",
        "e.png,Mass," + "9" * 5000,
        header="Image Index,Finding Labels,Patient ID",
    )
    labels = read_nih_labels(data, "f")
    assert labels.table["patient_id"].to_pylist() == ["7", "P-17", None, "12", "0", "9" * 5000]
    assert labels.notes["patients_unknown"] == 1


def test_long_numbers_take_no_time() -> None:
    data = minimal("a.png,Mass," + "0" * 100_000 + "x", header="Image Index,Finding Labels,Patient ID")
    assert read_nih_labels(data, "f").table["patient_id"].to_pylist() == ["0" * 100_000 + "x"]


def test_odd_view_and_sex_are_null_and_counted() -> None:
    rows = [FIRST, SECOND.replace(",AP,", ",LATERAL,").replace(",F,", ",O,"), FIRST.replace("0001_", "0003_", 1)]
    rows[2] = rows[2].replace(",M,PA,", ",,,")
    labels = read_nih_labels(generation_2017(*rows), "f")
    assert labels.table["view_position"].to_pylist() == ["PA", None, None]
    assert labels.table["sex"].to_pylist() == ["M", None, None]
    assert (labels.notes["view_positions_unknown"], labels.notes["sexes_unknown"]) == (1, 1)


def test_split_column_is_passed_on_and_follows_dropped_rows() -> None:
    data = minimal("a.png,Mass,train", "a.png,Mass,train", "b.png,Mass,test", header="Image Index,Finding Labels,split")
    labels = read_nih_labels(data, "f")
    assert labels.given_split is not None
    assert labels.given_split.to_pylist() == ["train", "test"]
    assert labels.table["image_index"].to_pylist() == ["a.png", "b.png"]
    assert labels.notes["duplicates_dropped"] == 1
    assert labels.notes["rows"] == 3


def test_order_and_blanks_within_a_cell_do_not_matter() -> None:
    labels = read_nih_labels(minimal("a.png, Mass | Nodule", "a.png,Nodule|Mass", "b.png,Mass|Mass"), "f")
    assert [present(row) for row in labels.table.to_pylist()] == [{"Mass", "Nodule"}, {"Mass"}]


@pytest.mark.parametrize("folder", ["images_001/images/", "C:\\data\\", "\\\\server\\share/x\\", "/"])
def test_paths_give_their_file_names(folder: str) -> None:
    labels = read_nih_labels(minimal(f"{folder}00000012_000.png,Mass", "00000013_001,Nodule"), "f")
    assert labels.table["image_index"].to_pylist() == ["00000012_000.png", "00000013_001"]
    assert labels.table["patient_id"].to_pylist() == ["12", "13"]
    (warning,) = labels.warnings
    assert warning.startswith("f: 1 images are named by paths, such as ")
    assert read_nih_labels(minimal("a.png,Mass"), "f").warnings == ()


@pytest.mark.parametrize(
    ("rows", "line", "values"),
    [
        (["a.png,Mass", "b.png,Tumour"], 3, ["'Tumour'", "Atelectasis"]),
        (["a.png,Mass", "b.png,masses"], 3, ["'masses'"]),
        (["a.png,Mass", "b.png,"], 3, ["Finding Labels", "is empty"]),
        (["a.png,Mass", "b.png,Mass|"], 3, ["''"]),
        (["a.png,No Finding|Mass"], 2, ["'No Finding|Mass'"]),
        (["a.png,Mass", "b.png,Mass", "a.png,Nodule"], 4, ["'a.png'", "'Nodule'", "'Mass' on line 2"]),
        (["a.png,Mass", ",Mass"], 3, ["Image Index", "empty"]),
        (["b/a.png,Mass", "c\\a.png,Mass"], 3, ["'c/a.png'", "'b/a.png' on line 2", "one file name"]),
        (["images_001/,Mass"], 2, ["'images_001/'", "is a folder"]),
        (["a.png,Mass", "b.png,Mass,1"], 3, ["3 fields, expected 2"]),
        (["a.png,Mass", "b.png"], 3, ["1 fields, expected 2"]),
    ],
)
def test_bad_rows_name_line_and_value(rows: list[str], line: int, values: list[str]) -> None:
    with pytest.raises(DataError, match=rf"labels\.csv, line {line}: ") as caught:
        read_nih_labels(minimal(*rows), "labels.csv")
    for value in values:
        assert value in str(caught.value)


def test_a_huge_value_is_cut_in_the_message() -> None:
    for row in ("a.png," + "x" * 100_000, "a" * 100_000 + "/,Mass"):
        with pytest.raises(DataError) as caught:
            read_nih_labels(minimal(row), "f")
        assert len(str(caught.value)) < 500


def test_an_image_of_two_patients_is_refused() -> None:
    data = minimal("a.png,Mass,1", "a.png,Mass,2", header="Image Index,Finding Labels,Patient ID")
    with pytest.raises(DataError, match=r"line 3: image 'a\.png' is of patient '2', but of '1' on line 2"):
        read_nih_labels(data, "f")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"00000001_000.png\n00000001_001.png", "list of images"),
        (b"Image Index,Findings\na.png,Mass\n", "no column 'Finding Labels'"),
        (b"Image Index#Finding Labels\na.png#Mass\n", "no column 'Image Index', 'Finding Labels'"),
        (b"Path,Sex,Age\nx,y,z\n", "Expected NIH's label file"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
    ],
)
def test_label_file_of_the_wrong_kind(data: bytes, what: str) -> None:
    with pytest.raises(DataError, match=what):
        read_nih_labels(data, "f")


def test_random_bytes_never_crash() -> None:
    rng = np.random.default_rng(0)
    whole = generation_2017(FIRST, SECOND)
    for _ in range(300):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(0, 256)
        with contextlib.suppress(DataError):
            assert read_nih_labels(bytes(data), "f").table.num_rows in (1, 2)


@pytest.mark.parametrize("spelled", ["Pleural Thickening|infiltration", "pleural_thickening|INFILTRATION"])
def test_findings_are_known_whatever_their_spelling(spelled: str) -> None:
    exact = read_nih_labels(b"Image Index,Finding Labels\na.png,Pleural_Thickening|Infiltration\n", "f")
    header = "image_index;finding labels\n"
    assert read_nih_labels(f"{header}a.png;{spelled}\n".encode("utf-16"), "f").table.equals(exact.table)
    with pytest.raises(DataError, match="together with a finding"):
        read_nih_labels(b"Image Index,Finding Labels\na.png,no finding|Mass\n", "f")


@pytest.mark.parametrize("missing", ["NA", "nan", "None", ""])
def test_missing_facts_are_unknown(missing: str) -> None:
    header = "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position\n"
    row = read_nih_labels(f"{header}a.png,Mass,{','.join([missing] * 4)}\n".encode(), "f").table.to_pylist()[0]
    assert [row[name] for name in ("patient_id", "age", "sex", "view_position")] == [None] * 4
