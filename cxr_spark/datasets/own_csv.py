"""Reads label tables of any layout, with any findings.

Columns are found as `own_columns` describes. Each finding has a column of its own that holds 1 (present), 0 (absent),
-1 (uncertain) or nothing; or one column names the findings of each image.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.config.labels import LabelSettings
from cxr_spark.datasets.base import LabelFile, LabelTable, label_table, merged
from cxr_spark.datasets.columns import SEXES, VIEWS, count_rows, first_rows, read_ages, read_codes
from cxr_spark.datasets.csv_table import CsvTable, read_csv, shorten, spelling
from cxr_spark.datasets.own_columns import (
    AGE,
    INDICATORS,
    PATIENT,
    SEX,
    SPLIT,
    VIEW,
    OwnColumns,
    choose_columns,
    other_modalities,
)
from cxr_spark.datasets.own_names import BLANK, NamesColumn, names_of
from cxr_spark.datasets.uncertain import uncertain_values
from cxr_spark.errors import DataError

log = logging.getLogger(__name__)

#: The value of an uncertain cell before its policy is applied.
_UNCERTAIN = math.inf
#: A name that no column has.
_NO_COLUMN = "\0"


class _File(NamedTuple):
    csv: CsvTable
    columns: OwnColumns

    def names(self, settings: LabelSettings) -> NamesColumn:
        """Returns the column that names the findings."""
        return NamesColumn(self.csv, self.columns.names or "", settings.findings_separator, settings.blank is not None)


def read_own_labels(files: Sequence[LabelFile], settings: LabelSettings) -> LabelTable:
    """Reads label tables of one layout.

    Args:
        files: the tables; all have the same findings.
        settings: the meaning of the columns, and the policies for uncertain and for empty cells.

    Returns:
        Labels in the order of the columns or, where one column names the findings, in alphabetical order with
        `No Finding` last. The image index is the name of the image in the table. A column of splits becomes
        `given_split`, and the usual split follows it. Notes: `rows`, `duplicates_dropped`, `ages_over_120`,
        `patients_unknown`, `view_positions_unknown`, `sexes_unknown`; and `uncertain` and `blank`, the numbers of
        uncertain and of empty cells of findings.

    Raises:
        ConfigError: `uncertain` names no finding of the table.
        DataError: a column is not there or could be two, or a row is wrong; names the column, the line and the value.
    """
    opened = [_File(csv, choose_columns(csv, settings)) for csv in (read_csv(*file) for file in files)]
    findings = _vocabulary(opened, settings)
    labels = merged([_read_file(file, findings, settings) for file in opened])
    usual = "patient" if labels.given_split is None else "column"
    return replace(labels, usual_split=usual)


def _vocabulary(files: Sequence[_File], settings: LabelSettings) -> tuple[str, ...]:
    first = files[0]
    for file in files[1:]:
        if set(file.columns.findings) != set(first.columns.findings):
            raise DataError(
                f"{file.csv.source} and {first.csv.source} have other columns of findings: name those that both have "
                "by --finding-columns"
            )
    if first.columns.findings:
        return _refuse_twins(first.columns.findings, first.csv.source)
    names = names_of((file.names(settings) for file in files), first.csv.source)
    log.info(
        "%s: column %r names the findings %s", first.csv.source, first.columns.names, shorten(", ".join(names), 1000)
    )
    return names


def _refuse_twins(findings: tuple[str, ...], source: str) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for name in findings:
        other = first.setdefault(spelling(name), name)
        if other != name or findings.count(name) > 1:
            raise DataError(
                f"{source}: the columns {shorten(other)!r} and {shorten(name)!r} would be one finding twice: leave one "
                "out by --finding-columns"
            )
    return findings


def _read_file(file: _File, findings: tuple[str, ...], settings: LabelSettings) -> LabelTable:
    csv, columns = file
    index = csv.parsed(columns.image, _image)
    observed = _single(file, findings) if columns.findings else file.names(settings).read(findings)
    labels = _decided(observed, findings, settings)
    patients = _optional(csv, columns, PATIENT)
    facts = {meaning: columns.facts.get(meaning, _NO_COLUMN) for meaning in (VIEW, SEX, AGE)}
    views, odd_views = read_codes(csv, facts[VIEW], VIEWS)
    sexes, odd_sexes = read_codes(csv, facts[SEX], SEXES)
    ages, over = read_ages(csv, facts[AGE])
    used = columns.findings or (columns.names or "",)
    keep = first_rows(csv, index, labels, patients, lambda row: ",".join(csv.columns[name][row] for name in used))
    mask = pa.array(keep)
    table = label_table(index, patients, labels, view_position=views, sex=sexes, age=ages)
    given = pa.array(csv.columns[columns.facts[SPLIT]], type=pa.string()) if SPLIT in columns.facts else None
    notes = {
        **count_rows(keep, patients, ages=over, views=odd_views, sexes=odd_sexes),
        "uncertain": int((observed[keep] == _UNCERTAIN).sum()),
        "blank": int((observed[keep] == BLANK).sum()),
    }
    odd = ((facts[VIEW], odd_views, "PA, AP or LATERAL"), (facts[SEX], odd_sexes, "F or M"))
    warnings = [
        *(_odd_code(csv, name, mask, expected) for name, mask, expected in odd if mask.any()),
        *other_modalities(csv),
        *_without_absent(labels, findings, notes["blank"], settings),
    ]
    return LabelTable(
        table=table.filter(mask),
        findings=findings,
        notes=notes,
        given_split=None if given is None else given.filter(mask),
        warnings=tuple(warnings),
    )


def _image(text: str) -> str:
    if not text:
        raise ValueError("is empty, expected the name of an image")
    return text


def _optional(csv: CsvTable, columns: OwnColumns, meaning: str) -> list[str | None]:
    name = columns.facts.get(meaning)
    return [None] * len(csv) if name is None else [cell or None for cell in csv.columns[name]]


def _single(file: _File, findings: Sequence[str]) -> NDArray[np.float64]:
    """Reads columns of single findings: shape (rows, findings), uncertain and empty cells infinite."""
    return np.stack([np.array(file.csv.parsed(name, _indicator)) for name in findings], axis=1)


def _indicator(text: str) -> float:
    if not text:
        return BLANK
    try:
        value = INDICATORS[text.lower()]
    except KeyError:
        raise ValueError(f"{shorten(text)!r} is no finding, expected 1, 0, -1 (uncertain) or nothing") from None
    return _UNCERTAIN if value is None else value


def _decided(observed: NDArray[np.float64], findings: Sequence[str], settings: LabelSettings) -> NDArray[np.float32]:
    """Applies the policies of uncertain and of empty cells."""
    uncertain = uncertain_values(settings.uncertain or "ignore", findings, "the label file")
    blank = 0.0 if settings.blank == "zeros" else math.nan
    labels = np.where(observed == _UNCERTAIN, uncertain, np.where(observed == BLANK, blank, observed))
    return labels.astype(np.float32)


def _odd_code(csv: CsvTable, name: str, odd: NDArray[np.bool_], expected: str) -> str:
    row = int(np.argmax(odd))
    return (
        f"{csv.source}, line {csv.lines[row]}: {name}: {shorten(csv.columns[name][row])!r} is not {expected}, and is "
        f"taken as not known ({int(odd.sum())} such cells)"
    )


def _without_absent(
    labels: NDArray[np.float32], findings: Sequence[str], blank: int, settings: LabelSettings
) -> list[str]:
    """Returns a warning where findings are absent in no image: empty cells may mean that they are."""
    lacking = [name for name, column in zip(findings, labels.T, strict=True) if not (column == 0).any()]
    if not lacking or not blank or settings.blank is not None:
        return []
    return [
        f"{len(lacking)} findings are absent in no image, as empty cells count as not known: "
        f"{', '.join(shorten(name, 40) for name in lacking[:20])}; if an empty cell means absent, use --set "
        "prepare.blank=zeros"
    ]
