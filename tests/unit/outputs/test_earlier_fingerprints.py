"""Work of an earlier version stays finished: with new settings at their defaults its fingerprint is the same."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cxr_spark.config import PrepareSettings, Settings
from cxr_spark.evaluation.job import EvaluateJob
from cxr_spark.explanation.job import ExplainJob
from cxr_spark.exploration.job import ExploreJob
from cxr_spark.outputs.job import Job, JobRun
from cxr_spark.preparation.sources import recorded_settings
from cxr_spark.scoring.job import ScoreJob
from cxr_spark.storage.store import Store
from tests.support.predictions import write_predictions
from tests.support.prepared_sets import write_prepared
from tests.unit.scoring.test_seen_images import write_metadata

FINDINGS = ("Effusion", "Mass", "No Finding")
#: The names in the fingerprints of version 0.1, by job, without any option.
EVALUATED = {
    *("baseline", "baseline_files", "dataset", "index_column", "labels", "prediction_files", "predictions"),
    *("prob_prefix", "replicates", "scores", "seed", "split", "task"),
}
EXPLAINED = {
    *("box_side", "boxes", "data", "finding", "layers", "limit", "manifest", "model_id", "only", "split", "threshold"),
}
EXPLORED = {"data", "manifest"}
SCORED = {"data", "manifest", "model_id", "split"}
PREPARED = {
    *("dataset", "max_bad_fraction", "positive_class", "resize", "sample", "seed", "size", "split", "subset"),
    *("test_fraction", "uncertain", "val_fraction"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    write_prepared(folder / "data", {"train": 3, "val": 3, "test": 3}, files=1)
    write_metadata(folder / "model", {}, "1")
    write_predictions(folder / "scores", ["1.png", "2.png"], np.full((2, 3), 0.5), FINDINGS, files=1)
    return folder


def names(job: Job[Any], folder: Path) -> set[str]:
    """Returns the names in the fingerprint of a job."""
    given = {"--data": "data", "--model": "model", "--predictions": "scores"}
    uris: dict[str, tuple[str, ...]] = {
        option: (f"file://{folder}/{given[option]}",) if paths.paths else () for option, paths in job.inputs().items()
    }
    run = JobRun(SimpleNamespace(), Store(f"file://{folder}/out"), uris)  # type: ignore[arg-type]
    return set(json.loads(json.dumps(dict(job.read_inputs(run).fingerprint))))


@pytest.mark.parametrize(
    ("make", "options", "expected", "new"),
    [
        (EvaluateJob, {"predictions": "scores"}, EVALUATED, {"calibration": "isotonic"}),
        (ExplainJob, {"model": "model", "data": "data"}, EXPLAINED, {"method": "gradcam++"}),
        (ExplainJob, {"model": "model", "data": "data"}, EXPLAINED, {"sanity": "4"}),
        (ExploreJob, {"data": "data"}, EXPLORED, {"pictures": "leave_out"}),
        (ScoreJob, {"model": "model", "data": "data"}, SCORED, {"engine": "openvino"}),
    ],
    ids=lambda value: value.name if isinstance(value, type) else "",
)
def test_work_of_an_earlier_version_stays_finished(
    make: type[Any], options: dict[str, str], expected: set[str], new: dict[str, str], folder: Path
) -> None:
    def found(**changes: str) -> set[str]:
        return names(make.from_options(Settings(), out="out", **options, **changes), folder)

    assert found() == expected
    assert found(**new) > expected


def test_data_that_an_earlier_version_prepared_stay_finished() -> None:
    def found(**changes: Any) -> set[str]:
        return set(recorded_settings(PrepareSettings(**changes)))

    assert found() == PREPARED
    assert found(white_level=255, dicom={"view": "take"}) == PREPARED | {"white_level", "dicom"}
