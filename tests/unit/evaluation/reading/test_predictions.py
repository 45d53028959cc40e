"""Opening predictions: what tells the task of the model."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.predictions import TASKS, read_predictions
from cxr_spark.tables.schema import PREDICTIONS
from cxr_spark.tables.score_columns import ScoreForm, as_csv


@pytest.fixture
def part(tmp_path):
    """One file of the score job's CSV, in a folder without its mark."""
    nothing = {name: [None] for name in PREDICTIONS.names}
    columns = nothing | {"image_index": ["a.png"], "probabilities": [[0.75, 0.25]]}
    whole = ScoreForm("csv", by_finding=True).complete(
        pa.table(columns | {"model_id": ["0" * 64]}, schema=PREDICTIONS), ("A", "B")
    )
    (tmp_path / "part-00000-abc.csv").write_bytes(as_csv(whole))
    return tmp_path / "part-00000-abc.csv"


@pytest.mark.parametrize("task", TASKS)
def test_one_file_of_the_csv_has_the_task_that_the_folder_names(part, task):
    (part.parent / "_done.json").write_text(json.dumps({"job": "score", "summary": {"findings": [], "task": task}}))
    assert read_predictions(f"file://{part}").task == task


@pytest.mark.parametrize("mark", [None, "{}", '{"summary": {"task": "other"}}', "no JSON"])
def test_one_file_of_the_csv_that_lies_elsewhere_needs_the_task(part, mark):
    if mark is not None:
        (part.parent / "_done.json").write_text(mark)
    with pytest.raises(DataError, match=r"does not say whether the model has one softmax: give the whole --out folder"):
        read_predictions(f"file://{part}")
    assert read_predictions(f"file://{part}", task="single_label").findings == ("A", "B")
