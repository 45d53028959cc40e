"""Rows of tables from the numbers of metrics.json: a column's key is the name of the number that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxr_spark.reporting.tables import Column, Row

Numbers = Mapping[str, Any]
FINDING = Column("Finding", "text", "finding")


def values(found: Numbers, *names: str) -> tuple[Any, ...]:
    """Returns the numbers of some names, in order.

    >>> values({"f1": 0.5, "auc": 0.9}, "auc", "f1")
    (0.9, 0.5)
    """
    return tuple(found[name] for name in names)


def rows_of(found: Mapping[str, Numbers], columns: Sequence[Column]) -> list[Row]:
    """Returns one row for each finding or group.

    Args:
        found: the numbers of each finding or group by its name.
        columns: the columns of the table. The first one shows the names.
    """
    keys = [column.key for column in columns[1:]]
    return [Row((name, *values(numbers, *keys))) for name, numbers in found.items()]


def average(name: str, numbers: Numbers, columns: Sequence[Column], ruled: bool = True) -> Row:
    """Returns a row that stands for all rows above it. A cell is empty where there is no average.

    Args:
        name: the name of the average.
        numbers: its numbers.
        columns: the columns of the table. The first one shows the name.
        ruled: whether a line is drawn above the row.
    """
    cells = (name, *(numbers.get(column.key, "") for column in columns[1:]))
    return Row(cells, whole=True, ruled=ruled)
