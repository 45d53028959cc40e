"""Reads columns that the label files of several datasets have: ages and codes; and finds repeated images."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cxr_spark.datasets.csv_table import CsvTable, shorten

#: The highest age that is believed. Higher ones are typing errors: nobody is known to have been much older.
MAX_AGE_YEARS = 120.0
#: Years in a unit of a DICOM age string (PS3.5, value representation AS): days, weeks, months, years.
_YEARS: Mapping[str, float] = MappingProxyType({"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0, "": 1.0})
_AGE = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,9})?)([DWMY]?)", re.IGNORECASE)
#: How files write sexes, in upper case.
SEXES: Mapping[str, str] = MappingProxyType({"M": "M", "F": "F", "MALE": "M", "FEMALE": "F"})
#: The views by DICOM's ViewPosition codes (PS3.3, C.8.11.1 and C.8.1.1), where LL and RL are lateral, and by words that
#: label files use.
VIEWS: Mapping[str, str] = MappingProxyType(
    {"PA": "PA", "AP": "AP", "AP SUPINE": "AP", **dict.fromkeys(("LL", "RL", "LATERAL", "LAT", "L"), "LATERAL")}
)


def read_ages(csv: CsvTable, name: str) -> tuple[list[float | None], NDArray[np.bool_]]:
    """Reads a column of ages: whole or decimal years, or DICOM age strings like `058Y`, `018M`, `001D`.

    Returns:
        The ages in years, None where the cell is empty or the age is over `MAX_AGE_YEARS`; and a mask of the rows whose
        age is over it. If the file has no such column, every age is None.

    Raises:
        DataError: a cell is not an age; names its line.
    """
    if name not in csv.columns:
        return [None] * len(csv), np.zeros(len(csv), dtype=bool)
    years = csv.parsed(name, parse_age)
    over = np.array([age is not None and age > MAX_AGE_YEARS for age in years])
    return [None if old else age for age, old in zip(years, over, strict=True)], over


def read_sexes(csv: CsvTable, name: str) -> tuple[list[str | None], NDArray[np.bool_]]:
    """Reads a column of sexes as M and F; see `read_codes`."""
    return read_codes(csv, name, SEXES)


def read_codes(csv: CsvTable, name: str, meaning: Mapping[str, str]) -> tuple[list[str | None], NDArray[np.bool_]]:
    """Reads a column of codes, upper or lower case.

    Returns:
        The meaning of each code, None where the cell is empty or holds an unknown code; and a mask of the rows with an
        unknown code. If the file has no such column, every meaning is None.
    """
    if name not in csv.columns:
        return [None] * len(csv), np.zeros(len(csv), dtype=bool)
    values = csv.parsed(name, lambda text: meaning.get(text.upper()))
    cells = csv.columns[name]
    return values, np.array([value is None and cell != "" for value, cell in zip(values, cells, strict=True)])


def count_rows(
    keep: NDArray[np.bool_],
    patients: list[str | None],
    *,
    ages: NDArray[np.bool_],
    views: NDArray[np.bool_],
    sexes: NDArray[np.bool_],
) -> dict[str, int]:
    """Counts rows for the notes of a label file.

    Args:
        keep: shape (N,), whether a row is taken; the others repeat an image.
        patients: the patient of each row; None where it is not known.
        ages: shape (N,), whether a row has an impossible age.
        views: shape (N,), whether a row has an unknown view position.
        sexes: shape (N,), whether a row has an unknown sex.
    """
    return {
        "rows": len(keep),
        "duplicates_dropped": len(keep) - int(keep.sum()),
        "ages_over_120": int(ages[keep].sum()),
        "patients_unknown": sum(patients[row] is None for row in np.flatnonzero(keep)),
        "view_positions_unknown": int(views[keep].sum()),
        "sexes_unknown": int(sexes[keep].sum()),
    }


def first_rows(
    csv: CsvTable,
    index: Sequence[str],
    labels: NDArray[np.float32],
    patients: Sequence[str | None],
    describe: Callable[[int], str],
) -> NDArray[np.bool_]:
    """Marks the first row of every image.

    Args:
        csv: the file, for messages.
        index: the image of each row.
        labels: labels of shape (rows, findings); NaN equals NaN.
        patients: the patient of each row.
        describe: a function that names the labels of a row in a message.

    Returns:
        A mask, shape (rows,): False for a row that repeats an earlier one.

    Raises:
        DataError: an image is there twice with different labels or patients.
    """
    first: dict[str, int] = {}
    keep = np.ones(len(csv), dtype=bool)
    for row, name in enumerate(index):
        before = first.setdefault(name, row)
        if before == row:
            continue
        keep[row] = False
        line = csv.lines[before]
        if not np.array_equal(labels[row], labels[before], equal_nan=True):
            clash = f"is labelled {shorten(describe(row))!r}, but {shorten(describe(before))!r} on line {line}"
        elif patients[row] != patients[before]:
            clash = f"is of patient {patients[row]!r}, but of {patients[before]!r} on line {line}"
        else:
            continue
        raise csv.error(row, f"image {shorten(name)!r} {clash}: keep one of the rows")
    return keep


def parse_age(text: str) -> float | None:
    """Returns an age in years; None for an empty text.

    >>> parse_age("058Y"), parse_age("018M"), parse_age("42"), parse_age("")
    (58.0, 1.5, 42.0, None)

    Raises:
        ValueError: the text is not an age.
    """
    if not text:
        return None
    match = _AGE.fullmatch(text)
    if not match:
        raise ValueError(f"{shorten(text)!r} is not an age, expected years like '58' or '058Y', '018M', '001D'")
    return float(match[1]) * _YEARS[match[2].upper()]
