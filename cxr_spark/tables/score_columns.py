"""The columns of scores beside those of `schema.PREDICTIONS`: one for each finding, calls, and scores as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

#: What the names of the columns of a finding begin with.
PROBABILITY, LABEL, CALL, THRESHOLD = "prob_", "label_", "call_", "threshold_"
#: The lists of scores, which CSV has no form for.
_LISTS = ("labels", "probabilities", "calls", "thresholds")
#: What a spreadsheet takes for a formula (OWASP, "CSV Injection"); and the apostrophe, so that it can be undone.
_MARKED = "^ *['=+\\-@\\t\\r\\n]"


@dataclass(frozen=True)
class ScoreForm:
    """How scores are written.

    Attributes:
        format: `parquet` or `csv`.
        by_finding: whether each finding has columns of its own.
        thresholds: for each finding the threshold from which on it is called, or None; None where nothing is called.
    """

    format: str = "parquet"
    by_finding: bool = False
    thresholds: tuple[float | None, ...] | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """What decides which columns there are, as JSON values; nothing where they are those of `PREDICTIONS`."""
        told = {"by_finding": self.by_finding, "calls": self.thresholds is not None}
        return {name: value for name, value in told.items() if value}

    @property
    def fingerprint(self) -> dict[str, Any]:
        """All that decides what is written, as JSON values; nothing where it is `PREDICTIONS` as Parquet."""
        told = {"format": self.format} if self.format != "parquet" else {}
        return {
            **told,
            **self.columns,
            **({"thresholds": list(self.thresholds)} if self.thresholds is not None else {}),
        }

    @property
    def suffix(self) -> str:
        """The suffix of the files."""
        return f".{self.format}"

    def complete(self, table: pa.Table, findings: Sequence[str]) -> pa.Table:
        """Adds the columns of this form to a table of `schema.PREDICTIONS`.

        Args:
            table: the scores.
            findings: what each place of the lists stands for.
        """
        width = len(findings)
        scores = _matrix(table["probabilities"], width)
        calls: list[pa.Array] = []
        if self.thresholds is not None:
            for place, threshold in enumerate(self.thresholds):
                called = pa.nulls(len(scores), pa.bool_())
                calls.append(called if threshold is None else pa.array(scores[:, place] >= threshold))
            table = table.append_column("calls", pa.array(list(zip(*calls, strict=True)), pa.list_(pa.bool_())))
            row = pa.array([list(self.thresholds)] * len(scores), pa.list_(pa.float64()))
            table = table.append_column("thresholds", row)
        if not self.by_finding:
            return table
        labels = None if table["labels"].null_count else _matrix(table["labels"], width)
        for place, finding in enumerate(findings):
            if labels is not None:
                known = pa.array(labels[:, place], from_pandas=True)  # NaN is null: an empty cell
                table = table.append_column(LABEL + finding, known)
            table = table.append_column(PROBABILITY + finding, pa.array(scores[:, place]))
            if self.thresholds is not None:
                threshold = pa.array([self.thresholds[place]] * len(scores), pa.float64())
                table = table.append_column(CALL + finding, calls[place])
                table = table.append_column(THRESHOLD + finding, threshold)
        return table


def as_csv(table: pa.Table) -> memoryview:
    """Writes scores with columns by finding as CSV: lists are left out, and no cell is a formula to a spreadsheet.

    An apostrophe stands before a text that a spreadsheet would take for a formula, and before one that begins with an
    apostrophe; `without_marks` takes it away. Numbers have all their digits, so that an evaluation of the CSV gives the
    numbers of one of the Parquet.
    """
    kept = table.drop_columns([name for name in _LISTS if name in table.column_names])
    columns = [_with_marks(column) if pa.types.is_string(column.type) else column for column in kept.columns]
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(pa.table(columns, kept.column_names), sink)
    return memoryview(sink.getvalue())


def without_marks(texts: pa.Array) -> pa.Array:
    """Takes the apostrophes away that `as_csv` put before texts."""
    return pc.replace_substring_regex(texts, "^'", "")


def _with_marks(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    marked = pc.binary_join_element_wise("'", texts, "")
    return pc.if_else(pc.fill_null(pc.match_substring_regex(texts, _MARKED), False), marked, texts)


def _matrix(lists: pa.ChunkedArray, width: int) -> NDArray[np.float64]:
    """Returns lists of one width as float64 of shape (rows, width)."""
    return np.asarray(pc.list_flatten(lists).to_numpy(), dtype=np.float64).reshape(-1, width)
