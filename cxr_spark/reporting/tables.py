"""Tables that are shown on a page and written as CSV and LaTeX files, all from one definition."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cxr_spark.reporting.numbers import FORMS, NONE

#: Cells that a spreadsheet would take for a formula begin with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: The form of a bar of a value within its interval: (value, low, high). Files leave it out, for they have the numbers.
BAR = "bar"
_INTERVALS = ("interval", "signed_interval")
_TEXTS = ("text", "name")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        form: what its cells are: a key of `numbers.FORMS`, or `BAR`.
        key: its name in the CSV file; for an interval two columns, with `_low` and `_high`.
    """

    title: str
    form: str
    key: str


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: one value for each column, as its form takes it; None where there is none.
        whole: whether it sums up the other rows: it stays below them when these are sorted.
        faint: whether it rests on too few images to say much.
        marked: whether the reader should look at it.
        ruled: whether a line sets it apart from the row above it.
    """

    cells: tuple[Any, ...]
    whole: bool = False
    faint: bool = False
    marked: bool = False
    ruled: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: the name of its files, without suffix.
        columns: its columns.
        rows: its rows, those that sum up last.
    """

    name: str
    columns: Sequence[Column]
    rows: Sequence[Row]

    @property
    def body(self) -> list[Row]:
        """The rows that can be sorted."""
        return [row for row in self.rows if not row.whole]

    @property
    def foot(self) -> list[Row]:
        """The rows that sum up."""
        return [row for row in self.rows if row.whole]


def cell_text(column: Column, value: Any) -> str:
    """Writes a cell as the reader sees it; an empty text where a row that sums up has nothing to say."""
    return "" if value == "" else FORMS[column.form](value)


def as_csv(table: Table) -> str:
    """Writes a table as CSV with all digits.

    An interval takes two columns. A text that a spreadsheet would take for a formula gets an apostrophe before it
    (OWASP, "CSV injection").
    """
    columns: dict[str, list[Any]] = {}
    for place, column in enumerate(table.columns):
        values = [row.cells[place] for row in table.rows]
        if column.form in _INTERVALS:
            for end, suffix in enumerate(("low", "high")):
                columns[f"{column.key}_{suffix}"] = [value[end] if value else None for value in values]
        elif column.form in _TEXTS:
            columns[column.key] = [plain_text(value) for value in values]
        elif column.form != BAR:
            columns[column.key] = [None if value == "" else value for value in values]
    return str(
        pd.DataFrame(columns, dtype=object).to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    )


def plain_text(value: Any) -> str:
    """Returns a text that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def as_latex(table: Table) -> str:
    r"""Writes a table as LaTeX, with the rules of the package booktabs: `\\input{FILE}` in a document that loads it.

    Numbers are written as on the page. Every character that means something to LaTeX is escaped.
    """
    shown = [(place, column) for place, column in enumerate(table.columns) if column.form != BAR]
    rows = [[_one_line(cell_text(column, row.cells[place])) for place, column in shown] for row in table.rows]
    frame = pd.DataFrame(rows, columns=[_one_line(column.title) for _, column in shown])
    styler = frame.style.hide(axis="index").format(escape="latex", na_rep=NONE).format_index(escape="latex", axis=1)
    aligned = "".join("l" if column.form in _TEXTS else "r" for _, column in shown)
    return str(styler.to_latex(hrules=True, column_format=aligned))


def _one_line(text: str) -> str:
    """Leaves out what LaTeX cannot print, and line breaks, which would end a row."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
