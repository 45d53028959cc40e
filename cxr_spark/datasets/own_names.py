"""Reads a column that names the findings of each image, such as `Effusion|Mass`, with any findings."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_spark.datasets.csv_table import CsvTable, shorten, spelling
from cxr_spark.datasets.findings import NO_FINDING
from cxr_spark.errors import DataError

#: The separators of names of findings that are looked for in the cells where the user names none.
SEPARATORS = ("|", ";", ",")
#: The most different names of a column. With more of them it is free text, and not a column of findings.
MAX_FINDINGS = 1000
#: The value of an empty cell before its policy is applied.
BLANK = -math.inf


@dataclass(frozen=True)
class NamesColumn:
    """A column that names the findings of each image.

    Attributes:
        csv: the table.
        name: the name of the column.
        given_separator: the separator of names that the user gives; None to find it in the cells.
        may_be_blank: whether cells may be empty, since the user says what that means.
    """

    csv: CsvTable
    name: str
    given_separator: str | None = None
    may_be_blank: bool = False

    @property
    def cells(self) -> list[str]:
        """The cells, one a row."""
        return self.csv.columns[self.name]

    @functools.cached_property
    def separator(self) -> str | None:
        """The separator of the names; None where no cell holds one.

        Raises:
            DataError: several marks could be it.
        """
        if self.given_separator is not None:
            return self.given_separator
        text = "\n".join(set(self.cells))
        found = [mark for mark in SEPARATORS if mark in text]
        if len(found) > 1:
            raise DataError(
                f"{self.csv.source}: column {self.name!r} has {' and '.join(map(repr, found))} between or within names "
                "of findings: say which stands between them by --findings-separator"
            )
        return found[0] if found else None

    def names(self, cell: str) -> list[str]:
        """Returns the names in a cell."""
        parts = [cell] if self.separator is None else cell.split(self.separator)
        return [name for name in (part.strip() for part in parts) if name]

    def read(self, findings: tuple[str, ...]) -> NDArray[np.float64]:
        """Reads the column.

        Args:
            findings: all names in the column, as `names_of` returns them.

        Returns:
            float64 of shape (rows, findings): 1 or 0, and `BLANK` in rows whose cell is empty.

        Raises:
            DataError: a cell is empty and may not be, or names `No Finding` beside a finding; names its line.
        """
        places = {spelling(name): place for place, name in enumerate(findings)}
        nothing = places.get(spelling(NO_FINDING))

        def parse(text: str) -> NDArray[np.float64]:
            names = self.names(text)
            if not names and not self.may_be_blank:
                raise ValueError(
                    f"{text!r} names no finding, expected names of findings, or {NO_FINDING!r}: if it means that there "
                    "is none, use --set prepare.blank=zeros; if it is not known, --set prepare.blank=ignore"
                )
            row = np.full(len(findings), 0.0 if names else BLANK)
            row[[places[spelling(name)] for name in names]] = 1.0
            if nothing is not None and row[nothing] == 1 and row.sum() > 1:
                raise ValueError(f"{shorten(text)!r} has {NO_FINDING!r} together with a finding")
            return row

        codes, rows = self.csv.parse(self.name, parse)
        return np.stack(rows)[codes]


def names_of(columns: Iterable[NamesColumn], source: str) -> tuple[str, ...]:
    """Returns the findings that columns name, in alphabetical order with `No Finding` last.

    Of different spellings of a name the most frequent one is taken.

    Args:
        columns: the columns of one or several tables.
        source: the URI of the first table, for messages.

    Raises:
        DataError: there are none, or so many that it must be free text.
    """
    counts: Counter[str] = Counter()
    for column in columns:
        for cell, count in Counter(column.cells).items():
            counts.update(dict.fromkeys(column.names(cell), count))
    spelled: dict[str, str] = {}
    for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        spelled.setdefault(spelling(name), name)
    if not spelled:
        raise DataError(f"{source}: the column of findings is empty: choose another by --findings-column")
    if len(spelled) > MAX_FINDINGS:
        raise DataError(
            f"{source}: the column of findings has {len(spelled):,} different names, expected at most "
            f"{MAX_FINDINGS:,}: is it free text? Choose another by --findings-column, or say what stands between the "
            "names by --findings-separator"
        )
    return tuple(sorted(spelled.values(), key=lambda name: (spelling(name) == spelling(NO_FINDING), name.casefold())))
