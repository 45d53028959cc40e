"""Reads the label file of NIH ChestX-ray14, `Data_Entry_2017.csv`, in both of its versions.

The first (2017) has CRLF line ends, a header of bracketed names with commas in them, patients like `00000001` and ages
like `058Y`, `018M` and `001D`. The correction (2020) has LF, patients like `1` and ages in whole years.
Source: Wang et al., "ChestX-ray8", CVPR 2017, and the NIH Clinical Center's download of it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.datasets.base import LabelTable, label_table
from cxr_spark.datasets.columns import count_rows, first_rows, read_ages, read_codes, read_sexes
from cxr_spark.datasets.csv_table import CsvTable, read_csv, shorten
from cxr_spark.datasets.findings import NIH_FINDINGS, NO_FINDING, encode
from cxr_spark.errors import DataError

INDEX, FINDINGS = "Image Index", "Finding Labels"
PATIENT, AGE, SEX, VIEW, SPLIT = "Patient ID", "Patient Age", "Patient Gender", "View Position", "split"

_NUMBER = re.compile(r"([0-9]+)(?:\.0*)?")
_NIH_NAME = re.compile(r"([0-9]{8})_[0-9]{3}(?:\..+)?")
_VIEWS = MappingProxyType({"PA": "PA", "AP": "AP"})


def read_nih_labels(data: bytes, source: str) -> LabelTable:
    """Reads NIH's label file.

    Columns are found by name, in any order. `Image Index` and `Finding Labels` must be there. Patients are read from
    `Patient ID`, without leading zeros, so that both versions name them alike. Without that column they are read from
    NIH's file names (`00000100_000.png` is of patient `100`), and are null for other names. A column `split` becomes
    `given_split`. If `Image Index` holds a path, with slashes or backslashes, the file name at its end is taken, and a
    warning says so.

    Args:
        data: the file's bytes, gzipped or not.
        source: where they came from, for messages.

    Returns:
        Labels in the order of `NIH_FINDINGS`, rows in the order of the file. Notes: `rows` (data rows of the file),
        `duplicates_dropped`, `ages_over_120` (made null), `patients_unknown`, `view_positions_unknown` and
        `sexes_unknown` (values other than PA, AP and M, F; made null).

    Raises:
        DataError: the file is of another kind, a row is wrong, or two paths end in one file name; names the line and
            the value.
    """
    csv = read_csv(data, source).with_index(INDEX).spelled((FINDINGS, PATIENT, AGE, SEX, VIEW, SPLIT))
    first = next(iter(csv.columns))
    if len(csv.columns) == 1 and first.lower().endswith((".png", ".jpg")):
        raise DataError(f"{source}: is a list of images, expected NIH's label file with {INDEX!r} and {FINDINGS!r}")
    csv.require([INDEX, FINDINGS], "NIH's label file (Data_Entry_2017.csv)")

    paths = csv.parsed(INDEX, _path)
    index = _file_names(csv, paths)
    label_codes, encoded = csv.parse(FINDINGS, _findings)
    labels = np.stack(encoded)[label_codes]
    patients = _patients(csv, index)
    ages, over = read_ages(csv, AGE)
    views, odd_views = read_codes(csv, VIEW, _VIEWS)
    sexes, odd_sexes = read_sexes(csv, SEX)
    keep = first_rows(csv, index, labels, patients, lambda row: csv.columns[FINDINGS][row])
    table = label_table(index, patients, labels, view_position=views, sex=sexes, age=ages)
    given = pa.array(csv.columns[SPLIT], type=pa.string()) if SPLIT in csv.columns else None
    notes = count_rows(keep, patients, ages=over, views=odd_views, sexes=odd_sexes)
    if not keep.all():
        table = table.filter(pa.array(keep))
        given = given.filter(pa.array(keep)) if given is not None else None
    return LabelTable(
        table=table, findings=NIH_FINDINGS, notes=notes, given_split=given, warnings=_of_paths(paths, source)
    )


def _path(text: str) -> str:
    """Returns the path or name of an image, with slashes in place of backslashes."""
    if not text:
        raise ValueError("is empty, expected an image's file name")
    path = text.replace("\\", "/")
    if path.endswith("/"):
        raise ValueError(f"{shorten(text)!r} is a folder, expected an image's file name")
    return path


def _file_names(csv: CsvTable, paths: Sequence[str]) -> list[str]:
    """Returns the file names at the ends of paths.

    Raises:
        DataError: two different paths end in one name.
    """
    names = [posixpath.basename(path) for path in paths]
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        before = first.setdefault(name, row)
        if paths[before] != paths[row]:
            raise csv.error(
                row,
                f"{shorten(paths[row])!r} and {shorten(paths[before])!r} on line {csv.lines[before]} end in one file "
                "name, and images are told apart by file names alone: give each a name of its own",
            )
    return names


def _of_paths(paths: Sequence[str], source: str) -> tuple[str, ...]:
    """Returns a warning where file names were taken from paths."""
    long = [path for path in paths if "/" in path]
    if not long:
        return ()
    return (
        f"{source}: {len(long)} images are named by paths, such as {shorten(long[0])!r}: the file name at the end was "
        "taken; give the file names alone if that is not what is meant",
    )


def _findings(text: str) -> NDArray[np.float32]:
    if not text:
        raise ValueError(f"is empty, expected findings separated by '|', or {NO_FINDING!r}")
    names = [shorten(name.strip()) for name in text.split("|")]
    try:
        vector = encode(names, NIH_FINDINGS)
    except DataError as fault:
        raise ValueError(str(fault)) from None
    if vector[NIH_FINDINGS.index(NO_FINDING)] and vector.sum() > 1:
        raise ValueError(f"{shorten(text)!r} has {NO_FINDING!r} together with a finding")
    return vector


def _patients(csv: CsvTable, index: list[str]) -> list[str | None]:
    if PATIENT in csv.columns:
        return csv.parsed(PATIENT, _patient)
    names = map(_NIH_NAME.fullmatch, index)
    return [_patient(match[1]) if match else None for match in names]


def _patient(text: str) -> str | None:
    match = _NUMBER.fullmatch(text)
    return (match[1].lstrip("0") or "0") if match else text or None
