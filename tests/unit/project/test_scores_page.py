"""docs/scores.md and the columns that `score` writes."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from cxr_spark.tables.schema import RAW_PREDICTIONS
from cxr_spark.tables.score_columns import ScoreForm

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "scores.md").read_text(encoding="utf-8")
TYPES = {"string": pa.string(), "double": pa.float64(), "boolean": pa.bool_(), "float": pa.float32()}


def columns_of_the_page() -> dict[str, pa.DataType]:
    """The names and types that the tables of the page give, in their order."""
    found = {}
    for names, types in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", PAGE, re.MULTILINE):
        listed = re.findall(r"`(\w+)`", names)
        each = types.strip().split(", ") * (1 if "," in types else len(listed))
        for name, kind in zip(listed, each, strict=True):
            inner = kind.removeprefix("list of ")
            found[name] = TYPES[inner] if inner == kind else pa.list_(TYPES[inner])
    return found


def test_the_page_names_every_column_and_its_type() -> None:
    values = {"labels": [[1.0]], "probabilities": [[0.5]], "age": [50.0]}
    rows = [pa.array(values.get(field.name, ["x"]), field.type) for field in RAW_PREDICTIONS]
    written = ScoreForm(by_finding=True, thresholds=(0.4,)).complete(
        pa.table(rows, schema=RAW_PREDICTIONS), ["Effusion"]
    )
    assert columns_of_the_page() == {field.name: field.type for field in written.schema}
