"""Reads the rows of predictions on executors, as `images.checker` takes them. Nothing here needs Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cxr_spark.datasets.csv_rows import MISSING
from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.columns import Columns
from cxr_spark.evaluation.reading.images import FACTS, not_a_probability
from cxr_spark.evaluation.reading.pieces import Piece, column, first_line, read_parquet, read_text
from cxr_spark.evaluation.reading.tables import Table
from cxr_spark.tables.score_columns import LABEL, without_marks

#: The rows that `images.checker` takes.
ROWS = pa.schema(
    [
        pa.field("image_index", pa.string()),
        *(pa.field(name, pa.float64() if name == "age" else pa.string()) for name in FACTS),
        pa.field("labels", pa.list_(pa.float64())),
        pa.field("scores", pa.list_(pa.float64())),
        pa.field("malformed", pa.string()),
    ]
)
_QUOTED = 80
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


@dataclass(frozen=True)
class RowReader:
    """Reads the rows of a table; each task reads its own pieces. Spark sends it to the executors.

    Attributes:
        table: the table.
        columns: the columns that are read from another tool's table; None for the output of the score job.
        softmax: None where the numbers are probabilities; else they are logits, of one softmax or of sigmoids.
        kept: whether each position of the scores is kept; None to keep all.
    """

    table: Table
    columns: Columns | None
    softmax: bool | None = None
    kept: tuple[bool, ...] | None = None

    def __call__(self, numbers: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Reads the rows of some tasks.

        Args:
            numbers: batches with one column: the positions of the tasks in `table.tasks`.

        Yields:
            Batches of `ROWS`. Where something cannot be read, a row says so in `malformed`.
        """
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                for piece in self.table.tasks[number]:
                    yield from self._read(piece)

    def _read(self, piece: Piece) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches(piece):
                rows = _of_score_job(batch, self.table) if self.columns is None else self._of_other_tool(batch)
                yield rows if self.kept is None else _taken(rows, self.kept)
        except (DataError, pa.ArrowException) as error:
            told = first_line(error).removeprefix(self.table.source).lstrip(":, ")
            empty = [pa.nulls(1, field.type) for field in list(ROWS)[:-1]]
            yield pa.RecordBatch.from_arrays([*empty, pa.array([told])], schema=ROWS)

    def _batches(self, piece: Piece) -> Iterator[pa.RecordBatch]:
        if self.columns is None:
            wanted: Sequence[int] = [self.table.names.index(name) for name in SCORE_COLUMNS]
        else:
            columns = self.columns
            known = [place for place in columns.labels if place is not None]
            wanted = sorted({columns.index, *columns.scores, *columns.facts.values(), *known})
        if self.table.form is not None:
            return read_text(piece, self.table.form, wanted)
        return read_parquet(piece, self.table.names, wanted)

    def _of_other_tool(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns, form = self.columns, self.table.form
        assert columns is not None
        names = _text(batch.column(column(columns.index)))
        malformed: list[str | None] = [None] * batch.num_rows
        scores = np.full((batch.num_rows, len(columns.scores)), np.nan)
        comma = form is not None and form.header.separator != ","
        for place, (number, finding) in enumerate(zip(columns.scores, columns.findings, strict=True)):
            values, wrong = _numbers(batch.column(column(number)), comma)
            scores[:, place] = values
            for row, text in wrong:
                malformed[row] = malformed[row] or not_a_probability(names[row].as_py(), text, finding)
        if self.softmax is not None:
            scores = _probabilities(scores, self.softmax)
        known = {"image_index": names, **_known(batch, columns, malformed, comma)}
        known |= {"scores": _lists(scores), "malformed": pa.array(malformed, pa.string())}
        nothing = {field.name: pa.nulls(batch.num_rows, field.type) for field in ROWS}
        return pa.RecordBatch.from_arrays([(nothing | known)[field.name] for field in ROWS], schema=ROWS)


def _known(batch: pa.RecordBatch, columns: Columns, malformed: list[str | None], comma: bool) -> dict[str, pa.Array]:
    """Reads what the score job's CSV has beside the probabilities, and notes the cells that it does not write."""
    if not columns.facts:
        return {}
    known = {name: _own_text(batch.column(column(place))) for name, place in columns.facts.items()}
    known["image_index"] = _own_text(batch.column(column(columns.index)))
    ages, wrong = _numbers(batch.column(column(columns.facts["age"])), comma, may_be_empty=True)
    known["age"] = pa.array(ages, from_pandas=True)
    faults = [(row, "age", text) for row, text in wrong]
    if any(place is not None for place in columns.labels):
        labels = np.full((batch.num_rows, len(columns.labels)), np.nan)
        for number, place in enumerate(columns.labels):
            if place is not None:
                labels[:, number], wrong = _numbers(batch.column(column(place)), comma, may_be_empty=True)
                faults += [(row, LABEL + columns.findings[number], text) for row, text in wrong]
        known["labels"] = _lists(labels)
    for row, name, text in faults:
        named = f"image {known['image_index'][row].as_py()!r} has {text[:_QUOTED]!r} in column {name!r}"
        malformed[row] = malformed[row] or f"{named}: expected a number or nothing"
    return known


#: The columns that the score job writes.
SCORE_COLUMNS = ("image_index", *FACTS, "labels", "probabilities")


def _of_score_job(batch: pa.RecordBatch, table: Table) -> pa.RecordBatch:
    there = {name: batch.column(column(table.names.index(name))) for name in SCORE_COLUMNS}
    there["scores"] = there["probabilities"]
    there["malformed"] = pa.nulls(batch.num_rows, pa.string())
    return pa.RecordBatch.from_arrays([there[field.name].cast(field.type) for field in ROWS], schema=ROWS)


def _taken(rows: pa.RecordBatch, kept: Sequence[bool]) -> pa.RecordBatch:
    """Takes some places of the scores; a row of another length loses its scores. Labels come from elsewhere then."""
    scores = rows.column(ROWS.get_field_index("scores")).to_pylist()
    fits = [row is not None and len(row) == len(kept) for row in scores]
    values = [list(compress(row, kept)) if fit else None for row, fit in zip(scores, fits, strict=True)]
    columns = {name: rows.column(i) for i, name in enumerate(ROWS.names)}
    columns["scores"] = pa.array(values, ROWS.field("scores").type)
    columns["labels"] = pa.nulls(rows.num_rows, ROWS.field("labels").type)
    return pa.RecordBatch.from_arrays([columns[name] for name in ROWS.names], schema=ROWS)


def _text(values: pa.Array) -> pa.Array:
    text = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.if_else(pc.is_in(text, value_set=pa.array(sorted(MISSING))), pa.scalar(None, pa.string()), text)


def _own_text(values: pa.Array) -> pa.Array:
    """Reads texts as the score job writes them: only an empty cell is no value, for a patient may be named `NA`."""
    text = without_marks(values.cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _numbers(
    values: pa.Array, decimal_comma: bool, may_be_empty: bool = False
) -> tuple[NDArray[np.float64], list[tuple[int, str]]]:
    """Reads a column as numbers.

    Args:
        values: the cells.
        decimal_comma: whether numbers may have a comma for the point.
        may_be_empty: whether an empty cell is right.

    Returns:
        float64 of shape (rows,), NaN where there is no number; and the position and text of the cells that hold
        something that is no number, or nothing.
    """
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or "view" in str(values.type)):
        return _dense(values.cast(pa.float64())), []
    text = pc.utf8_trim_whitespace(values.cast(pa.string()))
    point = pc.replace_substring(text, ",", ".") if decimal_comma else text
    good = pc.fill_null(pc.match_substring_regex(point, _NUMBER), False)
    numbers = pc.if_else(good, point, pa.scalar(None, pa.string())).cast(pa.float64())
    right = pc.or_(good, pc.fill_null(pc.equal(text, ""), True)) if may_be_empty else good
    wrong = np.flatnonzero(~right.to_numpy(zero_copy_only=False))[:10].tolist()
    return _dense(numbers), [(row, text[row].as_py() or "") for row in wrong]


def _dense(values: pa.Array) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(values, np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)


def _probabilities(logits: NDArray[np.float64], softmax: bool) -> NDArray[np.float64]:
    logits = np.where(np.isfinite(logits), logits, np.nan)
    if softmax:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)))


def _lists(matrix: NDArray[np.float64]) -> pa.ListArray:
    offsets = pa.array(np.arange(len(matrix) + 1, dtype=np.int32) * np.int32(matrix.shape[1]))
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.ravel()))


def then(
    read: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]],
    check: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]],
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Returns the function that reads and checks in one go, so that the rows do not pass through Java in between."""

    def both(numbers: Iterable[Any]) -> Iterator[pa.RecordBatch]:
        return check(read(numbers))

    return both
