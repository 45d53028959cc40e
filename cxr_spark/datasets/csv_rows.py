"""Cuts the lines of a table into rows of cells. It finds the separator, and accepts what spreadsheets add."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cxr_spark.datasets.text_lines import TextLines
from cxr_spark.errors import DataError

#: The separators that are looked for in the first line. Of two that occur equally often, the first one here is taken.
SEPARATORS = (",", ";", "\t", "|")
#: Tables with more columns than this are refused: the separator is wrong, or the file is no table of images.
MAX_COLUMNS = 10_000
#: The texts that R, pandas and spreadsheets write into a cell without a value.
MISSING = frozenset({"", "NA", "N/A", "n/a", "<NA>", "nan", "NaN", "NAN", "-nan", "None", "null", "NULL", "#N/A"})

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")
_BRACKETED = re.compile(r"(?P<name>[^\[]*)\[(?P<parts>[^\]]*)\]")


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        line: the line of the file on which it begins; the first line of the file is 1.
        cells: the texts of its cells, unchanged.
    """

    line: int
    cells: list[str]


class Header(NamedTuple):
    """The facts that the first lines of a table tell.

    Attributes:
        separator: the character between two cells.
        names: the names of the columns. A header cell like `OriginalImage[Width,Height]` names two columns.
        lines: the number of lines of the file before the first row.
    """

    separator: str
    names: tuple[str, ...]
    lines: int


class CsvRows:
    """The rows of a table of text, one by one.

    It takes LF, CRLF and CR line ends, quoted cells with line breaks in them, blank lines, empty cells at the end of
    the header or of rows, the line `sep=;` that Excel writes, and commas, semicolons, tabs or bars between the cells.

    Attributes:
        header: the facts that the first lines of the table tell.
    """

    def __init__(self, lines: TextLines, header: Header | None = None) -> None:
        """Reads the header.

        Args:
            lines: the lines of the file.
            header: the header of the table, where `lines` begin below it; None to read it from them.

        Raises:
            DataError: there is no header, or a column is named twice.
        """
        self._lines = lines
        separator = header.separator if header else _separator(lines)
        self._reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
        first = None if header else self._next()
        number = lines.number
        self._first = self._next()
        if header is None:
            if first is None:
                raise DataError(f"{lines.source}: is empty")
            names = _names(first, self._first.cells if self._first else [], lines.source)
            header = Header(separator, tuple(names), number)
        self.header = header

    def __iter__(self) -> Iterator[Row]:
        """Yields the rows below the header, each with one cell for each column.

        Raises:
            DataError: a row has another number of cells than the header, or its quotes are broken.
        """
        width = len(self.header.names)
        row, self._first = self._first, None
        while row is not None:
            yield row if len(row.cells) == width else Row(row.line, self._fitted(row))
            row = self._next()

    def clean(self, cell: str) -> str:
        """Returns the value of a cell without blanks around it, empty if missing, with a point for a decimal comma."""
        cell = cell.strip()
        if cell in MISSING:
            return ""
        if self.header.separator != "," and "," in cell and _DECIMAL_COMMA.fullmatch(cell):
            return cell.replace(",", ".")
        return cell

    def _next(self) -> Row | None:
        line = self._lines.number + 1
        try:
            for cells in self._reader:
                blank = not (len(cells) > 1 or (cells and cells[0].strip()))
                self._lines.end_row(blank)
                if not blank:
                    return Row(line, cells)
                line = self._lines.number + 1
        except csv.Error as fault:
            raise DataError(f"{self._lines.source}, line {line}: not a CSV row ({fault}); check the quotes") from None
        return None

    def _fitted(self, row: Row) -> list[str]:
        (separator, names, _), cells = self.header, row.cells
        width = len(names)
        if len(cells) < width or any(cell.strip() for cell in cells[width:]):
            between = "" if separator == "," else f" (the cells are separated by {separator!r})"
            raise DataError(
                f"{self._lines.source}, line {row.line}: {len(cells)} fields, expected {width} as in the header"
                f"{between}; the row begins {shorten(separator.join(cells[:20]), 60)!r}"
            )
        return cells[:width]


def shorten(value: str, limit: int = 80) -> str:
    """Returns a value cut to a length that fits a one-line message."""
    return value if len(value) <= limit else value[:limit] + "..."


def _separator(lines: TextLines) -> str:
    """Finds the separator of a table, and skips the line `sep=;` by which Excel tells it."""
    while (line := lines.peek()) and not line.strip():
        next(lines)
        lines.end_row()
    told = _SEPARATOR_LINE.fullmatch(line)
    if told:
        next(lines)
        lines.end_row()
        return told[1]
    outside = _QUOTED.sub("", line)
    return max(SEPARATORS, key=outside.count)


def _names(header: Row, first: Sequence[str], source: str) -> list[str]:
    """Returns the names of the columns, from the header and the cells of the first row below it."""
    names, width = [cell.strip() for cell in header.cells], len(first)
    # NIH's header of 2017 ends with a comma, its rows do not. A column without a name may have values all the same.
    while names and not names[-1] and not "".join(first[len(names) - 1 : len(names)]).strip():
        names.pop()
    if not names:
        raise DataError(f"{source}, line {header.line}: names no column, expected the names of the columns")
    if len(names) > MAX_COLUMNS:
        raise DataError(
            f"{source}, line {header.line}: names {len(names):,} columns, expected at most {MAX_COLUMNS:,}: "
            "leave out the columns that are not needed"
        )
    if len(names) < width:  # a quoted cell "OriginalImage[Width,Height]" over two columns
        split = [part for name in names for part in _bracketed_names(name)]
        names = split if len(split) == width else names
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f"{source}, line {header.line}: the column {shorten(name)!r} is there twice")
    return names


def _bracketed_names(name: str) -> list[str]:
    match = _BRACKETED.fullmatch(name)
    return [f"{match['name']}[{part}]" for part in match["parts"].split(",")] if match else [name]
