"""Reads a table of text and keeps the line of every row, so that an error can name it."""

from __future__ import annotations

import io
import logging
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_spark.datasets.csv_rows import CsvRows, shorten
from cxr_spark.datasets.text_lines import MAX_TEXT_BYTES, TextLines
from cxr_spark.errors import DataError

__all__ = ["MAX_TEXT_BYTES", "CsvTable", "read_csv", "shorten", "spelling"]

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Other names under which tools write the column of image names, in lower case without blanks and underscores.
INDEX_NAMES = ("imageindex", "imageid", "imagename", "path", "filename", "imagepath", "filepath")
#: The most cells of a table that is held in memory: five million images with twelve columns.
MAX_CELLS = 60_000_000
#: The number of values of a column that are remembered, so that equal cells are one object in memory.
_REMEMBERED = 100_000
#: Characters that different people leave out or write for each other in a name.
_IGNORED = dict.fromkeys(map(ord, " _-\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}"))


def spelling(name: str) -> str:
    """Returns a name in lower case without blanks, underscores and hyphens, so that its different spellings are equal.

    Letters with accents have several encodings, which are made one, too.

    >>> spelling("Pleural Thickening") == spelling("pleural_thickening") == spelling("Pleural-thickening")
    True
    """
    return unicodedata.normalize("NFKC", name).casefold().translate(_IGNORED)


@dataclass(frozen=True)
class CsvTable:
    """The text columns of a table.

    Attributes:
        source: the URI of the file, for messages.
        columns: the cells of each column, by its name. A cell has no blanks around it, and is empty where the file says
            that the value is missing, as by `NA`.
        lines: the line of the file on which each row begins; the first line is 1.
        separator: the text between two cells.
    """

    source: str
    columns: dict[str, list[str]]
    lines: list[int]
    separator: str = ","

    def __len__(self) -> int:
        return len(self.lines)

    def error(self, row: int, message: str) -> DataError:
        """Returns an error for a row, counted from 0. Its message names the file and the line."""
        return DataError(f"{self.source}, line {self.lines[row]}: {message}")

    def spelled(self, names: Iterable[str]) -> CsvTable:
        """Renames columns to expected names that they differ from only in case, blanks, underscores and hyphens.

        Raises:
            DataError: two columns could be meant.
        """
        found: dict[str, str] = {}
        for name in names:
            like = [column for column in self.columns if spelling(column) == spelling(name)]
            if name not in self.columns and len(like) > 1:
                raise DataError(f"{self.source}: {like[0]!r} and {like[1]!r} could both be the column {name!r}")
            if name not in self.columns and like:
                found[like[0]] = name
        return self._renamed(found)

    def with_index(self, name: str) -> CsvTable:
        """Finds the column of image names under the names that other tools give it, and logs which one was taken.

        Args:
            name: the name of the column in the file's own layout, and in the result.

        Returns:
            The table with that column renamed; unchanged if it has the name already, or if no column is found.
        """
        table = self.spelled([name])
        others = [column for column in table.columns if spelling(column) in INDEX_NAMES]
        if name in table.columns or len(others) != 1:
            return table
        log.info("%s: the images are named by column %r", self.source, others[0])
        return table._renamed({others[0]: name})

    def _renamed(self, names: Mapping[str, str]) -> CsvTable:
        return replace(self, columns={names.get(name, name): cells for name, cells in self.columns.items()})

    def require(self, names: Sequence[str], kind: str) -> None:
        """Refuses the file unless it has all the columns.

        Args:
            names: the columns that must be there.
            kind: the kind of file that is expected, for the message.

        Raises:
            DataError: a column is missing.
        """
        missing = [name for name in names if name not in self.columns]
        if missing:
            have = ", ".join(repr(shorten(name)) for name in list(self.columns)[:12])
            between = "" if self.separator == "," else f", separated by {self.separator!r},"
            raise DataError(
                f"{self.source}: no column {', '.join(map(repr, missing))}; the first line{between} has {have}. "
                f"Expected {kind}"
            )

    def parse(self, name: str, parse: Callable[[str], T]) -> tuple[NDArray[np.int64], list[T]]:
        """Parses a column, each distinct value once.

        Args:
            name: the column.
            parse: turns a cell into a value; raises ValueError, with a message, for a cell that is wrong.

        Returns:
            Indices of shape (rows,) and the list of parsed values that they point into.

        Raises:
            DataError: a cell is wrong; names its line.
        """
        codes, distinct = pd.factorize(np.array(self.columns[name], dtype=object))
        values = []
        for code, text in enumerate(distinct):
            try:
                values.append(parse(text))
            except ValueError as fault:
                raise self.error(int(np.argmax(codes == code)), f"{name}: {fault}") from None
        return codes, values

    def parsed(self, name: str, parse: Callable[[str], T]) -> list[T]:
        """Parses a column as `parse` does, and returns one value for each row."""
        codes, values = self.parse(name, parse)
        return [values[code] for code in codes]


def read_csv(data: bytes, source: str) -> CsvTable:
    """Reads a table of text; see `CsvRows` and `TextLines` for the forms that are understood.

    Args:
        data: the file's bytes.
        source: where they came from, for messages.

    Returns:
        The columns, with at least one row.

    Raises:
        DataError: the bytes are no such file, a row has another number of cells than the header, or the table is too
            large.
    """
    rows = CsvRows(TextLines(io.BytesIO(data), source, MAX_TEXT_BYTES))
    columns: list[list[str]] = [[] for _ in rows.header.names]
    known: list[dict[str, str]] = [{} for _ in rows.header.names]
    lines: list[int] = []
    allowed = MAX_CELLS // len(columns)
    for row in rows:
        lines.append(row.line)
        if len(lines) > allowed:
            raise DataError(
                f"{source}: has more than {allowed:,} rows of {len(columns)} columns, which do not fit into memory: "
                "leave out the columns that are not needed"
            )
        for cells, seen, cell in zip(columns, known, row.cells, strict=True):
            value = seen.get(cell)
            if value is None:
                value = rows.clean(cell)
                if len(seen) < _REMEMBERED:
                    seen[cell] = value
            cells.append(value)
    if not lines:
        raise DataError(f"{source}: has a first line but no rows")
    separator = rows.header.separator
    if separator != ",":
        log.info("%s: the cells are separated by %r", source, separator)
    return CsvTable(source, dict(zip(rows.header.names, columns, strict=True)), lines, separator)
