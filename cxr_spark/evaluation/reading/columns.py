"""Finds the columns of another tool's table: the names of the images, and the probabilities of each finding."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from cxr_spark.datasets.csv_table import INDEX_NAMES, shorten, spelling
from cxr_spark.datasets.findings import finding_named
from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.images import FACTS
from cxr_spark.evaluation.reading.tables import Table
from cxr_spark.tables.schema import PREDICTIONS
from cxr_spark.tables.score_columns import LABEL, PROBABILITY

log = logging.getLogger(__name__)

INDEX, PREFIX = "Image Index", PROBABILITY


@dataclass(frozen=True)
class Layout:
    """The description of another tool's table by the user.

    Attributes:
        index_column: the column with the names of the images; None to find it by its name.
        prob_prefix: the text before the finding in the names of the columns of probabilities; None for `prob_` or,
            where no column begins so, for no text.
        logits: whether the numbers are logits, which are turned into probabilities.
    """

    index_column: str | None = None
    prob_prefix: str | None = None
    logits: bool = False


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are used.

    Attributes:
        index: position of the column with the names of the images.
        scores: positions of the columns of probabilities, in rising order.
        findings: the finding that each of these columns belongs to.
        facts: positions of the columns that the score job writes as CSV, by name; empty in other tools' tables.
        labels: there, the position of the labels of each finding; None where it has none.
    """

    index: int
    scores: tuple[int, ...]
    findings: tuple[str, ...]
    facts: Mapping[str, int] = field(default_factory=dict)
    labels: tuple[int | None, ...] = ()


def find_columns(table: Table, layout: Layout, vocabulary: Sequence[str] | None) -> Columns:
    """Finds the columns.

    Args:
        table: the table of another tool.
        layout: the layout that the user names.
        vocabulary: the findings that have labels; None where they are not known.

    Raises:
        DataError: there are no such columns, or several could be meant.
    """
    index = _index(table, layout.index_column)
    found = _scores(table, layout.prob_prefix, vocabulary)
    if index is None or not found:
        raise DataError(_not_found(table, layout))
    findings = tuple(name for _, name in found)
    twice = sorted({name for name in findings if findings.count(name) > 1})
    if twice:
        names = [table.names[i] for i, name in found if name == twice[0]]
        raise DataError(
            f"{table.source} has the column {names[0]!r} twice"
            if len(set(names)) == 1
            else f"{table.source}: {names[0]!r} and {names[1]!r} are both probabilities of {twice[0]!r}: leave one out"
        )
    for i in (index, *(i for i, _ in found)):
        if not _is_text_or_number(table.types[i]):
            raise DataError(f"{table.source}: column {table.names[i]!r} is of type {table.types[i]}: expected numbers")
    columns = Columns(index, tuple(i for i, _ in found), findings)
    return _of_score_job(table, columns) if _is_of_score_job(table) else columns


def _is_of_score_job(table: Table) -> bool:
    """Whether the score job wrote the table as CSV: its first columns tell."""
    facts = PREDICTIONS.names[: PREDICTIONS.names.index("model_id") + 1]  # later columns came with later versions
    own = [name for name in facts if not pa.types.is_list(PREDICTIONS.field(name).type)]
    return table.form is not None and list(table.names[: len(own)]) == own


def _of_score_job(table: Table, columns: Columns) -> Columns:
    places = {name: i for i, name in enumerate(table.names)}
    labels = tuple(places.get(LABEL + name) for name in columns.findings)
    return replace(columns, facts={name: places[name] for name in FACTS}, labels=labels)


def _index(table: Table, given: str | None) -> int | None:
    places = [i for i, name in enumerate(table.names) if name == (given or INDEX)]
    if not places:
        wanted = (spelling(given),) if given else INDEX_NAMES
        places = [i for i, name in enumerate(table.names) if spelling(name) in wanted]
        exact = [i for i in places if spelling(table.names[i]) == spelling(INDEX)]
        places = exact or places
    if len(places) > 1:
        names = ", ".join(repr(shorten(table.names[i])) for i in places)
        if len({table.names[i] for i in places}) == 1:
            raise DataError(f"{table.source} has the column {table.names[places[0]]!r} twice")
        raise DataError(f"{table.source}: the columns {names} could all name the images: choose by --index-column")
    if places and table.names[places[0]] != INDEX:
        log.info("%s: the images are named by column %r", table.source, table.names[places[0]])
    return places[0] if places else None


def _scores(table: Table, given: str | None, vocabulary: Sequence[str] | None) -> list[tuple[int, str]]:
    prefixes = (given,) if given is not None else (PREFIX, "")
    for prefix in prefixes:
        found = []
        for i, name in enumerate(table.names):
            if not name.casefold().startswith(prefix.casefold()):
                continue
            finding = finding_named(name[len(prefix) :], vocabulary) if vocabulary else None
            if finding is not None or (prefix and name[len(prefix) :]):
                found.append((i, finding or name[len(prefix) :]))
        if found:
            if prefix != PREFIX:
                log.info(
                    "%s: the probabilities are in the columns %s",
                    table.source,
                    ", ".join(shorten(table.names[i]) for i, _ in found[:20]),
                )
            return found
    return []


def _is_text_or_number(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_floating,
        pa.types.is_integer,
        pa.types.is_decimal,
        pa.types.is_null,
    )
    return any(test(kind) for test in tests) or str(kind) == "string_view"


def _not_found(table: Table, layout: Layout) -> str:
    names = table.names
    seen = ", ".join(repr(name[:40]) for name in names[:12]) + (", ..." if len(names) > 12 else "")
    separator = table.form.header.separator if table.form else ","
    between = "" if separator == "," else f" (separated by {separator!r})"
    index, prefix = layout.index_column or INDEX, PREFIX if layout.prob_prefix is None else layout.prob_prefix
    return (
        f"{table.source} has the columns {seen}{between}: expected the output of the score job, or a column {index!r} "
        f"(--index-column) and columns {prefix + 'FINDING'!r} (--prob-prefix) such as {prefix + 'Effusion'!r}"
    )
