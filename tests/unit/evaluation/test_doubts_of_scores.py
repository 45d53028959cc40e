"""What the score job says against its scores goes with their evaluation, and from there to those who use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.config import Settings
from cxr_spark.errors import UsageError
from cxr_spark.evaluation.job import EvaluateJob
from cxr_spark.outputs.job import JobRun
from cxr_spark.reporting.provenance import Provenance
from cxr_spark.runtime.application import Application
from cxr_spark.scoring.thresholds import thresholds_of
from cxr_spark.storage.store import Store
from cxr_spark.tables.schema import PREDICTIONS

N = 24


def write_scores(folder: Path, **summary: Any) -> str:
    """Writes scores of one finding, half val and half test, as the score job leaves them."""
    folder.mkdir()
    columns: dict[str, Any] = dict.fromkeys(PREDICTIONS.names, [None] * N)
    columns.update(
        {
            "image_index": [f"{i:02d}.png" for i in range(N)],
            "split": ["val", "test"] * (N // 2),
            "labels": [[float(i % 3 == 0)] for i in range(N)],
            "probabilities": [[i * 7 % N / N] for i in range(N)],
            "model_id": ["ab" * 32] * N,
        }
    )
    pq.write_table(pa.table(columns, schema=PREDICTIONS), folder / "part-00000-ab.parquet")
    told = {"findings": ["Mass"], "task": "multi_label", "model_id": "ab" * 32, "model": {"a": 1}, **summary}
    mark = {"format": 2, "job": "score", "state": "done", "complete": True, "files": ["part-00000-ab.parquet"]}
    (folder / "_done.json").write_text(json.dumps({**mark, "summary": told}))
    return folder.as_uri()


def metrics_of(folder: Path, predictions: str, baseline: str | None = None) -> dict[str, Any]:
    settings = Settings().updated({"evaluate.replicates": 0})
    job = EvaluateJob.from_options(settings, predictions=predictions, out=str(folder), split="test", baseline=baseline)
    uris: dict[str, tuple[str, ...]] = dict.fromkeys(job.inputs(), ())
    uris |= {"--predictions": (predictions,), "--baseline": (baseline,) if baseline else ()}
    run = JobRun(Application("evaluate", None, {}), Store(folder.as_uri()), uris)
    return job._evaluate(run, Provenance.of(predictions), None, [], {}).metrics


def test_thresholds_of_scores_of_training_images_are_refused_wherever_their_evaluation_went(tmp_path: Path) -> None:
    found = {}
    for name, doubts in (("seen", {"warnings": ["TOO GOOD"], "splits_trained_on": ["val"]}), ("new", {})):
        found[name] = metrics_of(tmp_path, write_scores(tmp_path / name, **doubts))
        out = tmp_path / f"{name}_evaluation"
        out.mkdir()
        (out / "metrics.json").write_text(json.dumps(found[name]))
    assert found["seen"]["splits_trained_on"] == ["val"]
    assert found["new"]["splits_trained_on"] == []
    with pytest.raises(UsageError, match="that a model of a cross-validation was trained on"):
        thresholds_of((tmp_path / "seen_evaluation").as_uri(), "f1", "ab" * 32, ("Mass",), {"a": 1})
    chosen = thresholds_of((tmp_path / "new_evaluation").as_uri(), "f1", "ab" * 32, ("Mass",), {"a": 1})
    assert chosen[0] is not None


def test_what_is_said_against_the_scores_of_the_baseline_is_repeated_as_such(tmp_path: Path) -> None:
    scores, baseline = write_scores(tmp_path / "a", warnings=["one"]), write_scores(tmp_path / "b", warnings=["two"])
    told = metrics_of(tmp_path, scores, baseline)["warnings"]
    assert [line for line in told if line in ("one", "two", "baseline: one", "baseline: two")] == [
        "one",
        "baseline: two",
    ]
