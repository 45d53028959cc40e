"""A cross-validation that is made longer: its job with its marks and summary, and a stand-in that trains nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_spark.config import Settings
from cxr_spark.errors import DataError, RunError, UsageError
from cxr_spark.outputs.claim import DONE_NAME, Claim, claim
from cxr_spark.outputs.job import JobRun
from cxr_spark.runtime.application import Application
from cxr_spark.scoring.models import open_models
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.cross_validation import job as job_module
from cxr_spark.training.cross_validation.job import CrossValidationJob
from cxr_spark.training.folds import Fold
from cxr_spark.training.job import TrainingSetup, TrainJob, TrainResult
from tests.support.prepared_sets import write_prepared

Run = Callable[..., list[int]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Returns a function that runs a cross-validation in `tmp_path / "out"`, and returns the folds that it trained.

    Its arguments are the number of epochs and the fold in whose training the run is killed.
    """
    data, out = write_prepared(tmp_path / "data", {"train": 6, "val": 2}, files=1), Store(f"file://{tmp_path}/out")
    monkeypatch.setattr(job_module, "score_out_of_fold", lambda *_: None)

    def once(epochs: int, killed_in: int | None = None) -> list[int]:
        trained = []

        def train(
            spark: None,
            settings: Settings,
            dataset: PreparedDataset,
            claimed: Claim,
            setup: None,
            fold: Fold,
            parent: None,
        ) -> TrainResult:
            if fold.number == killed_in:
                raise RunError("killed")
            claimed.store.delete(DONE_NAME)
            trained.append(fold.number)
            model = {"model": claimed.store.uri_of("model"), "model_id": f"{fold.number}-{epochs}"}
            claimed.store.write_json("model/metadata.json", model)
            return TrainResult(out=claimed.store.uri, epoch=epochs, **model)

        monkeypatch.setattr(job_module, "train_claimed", train)
        settings = Settings().updated({"train.epochs": epochs})
        training = TrainJob(settings, str(data), out.uri, TrainingSetup(None, lambda *_: None))  # type: ignore[arg-type]
        job = CrossValidationJob.of(training, 3)
        uris = {**dict.fromkeys(job.inputs(), ()), "--data": (f"file://{data}",)}
        application = Application("train", None, {})
        monkeypatch.setattr(Application, "spark", None)
        ready = job.read_inputs(JobRun(application, out, uris))
        with claim(out, job.name, ready.fingerprint, False, ready.extends) as claimed:
            if claimed.finished is None:
                claimed.done(ready.produce(claimed).summary())
        return trained

    return once


def epochs_told(out: Path) -> list[int]:
    told = json.loads((out / "cross_validation.json").read_text())
    return [fold["epoch"] for fold in told["folds"].values()]


def test_more_epochs_train_every_fold_on_and_the_summary_tells_the_new_models(run: Run, tmp_path: Path) -> None:
    assert run(1) == [1, 2, 3]
    assert run(1) == []
    assert run(2) == [1, 2, 3]
    assert epochs_told(tmp_path / "out") == [2, 2, 2]
    with pytest.raises(UsageError, match="can be made longer, not shorter"):
        run(1)


def test_models_of_an_extension_that_was_killed_are_never_averaged(run: Run, tmp_path: Path) -> None:
    run(1)
    with pytest.raises(RunError, match="killed"):
        run(2, killed_in=2)
    with pytest.raises(DataError, match=r"holds no model.*the models of this cross-validation are"):
        open_models([f"file://{tmp_path}/out"], Settings().score, None)
    assert run(2) == [2, 3]  # the first fold is not trained again
    assert epochs_told(tmp_path / "out") == [2, 2, 2]


def test_a_cross_validation_that_was_killed_can_be_made_longer(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="killed"):
        run(1, killed_in=3)
    assert not (tmp_path / "out" / "cross_validation.json").exists()
    assert run(2) == [1, 2, 3]
    assert epochs_told(tmp_path / "out") == [2, 2, 2]


def test_a_fold_that_is_deleted_is_trained_again_alone(run: Run, tmp_path: Path) -> None:
    run(1)
    shutil.rmtree(tmp_path / "out" / "fold_2")
    with pytest.raises(DataError, match=r"delete _done\.json .* and its folder fold_2, .* without --overwrite"):
        open_models([f"file://{tmp_path}/out"], Settings().score, None)
    (tmp_path / "out" / "_done.json").unlink()
    assert run(1) == [2]
    assert epochs_told(tmp_path / "out") == [1, 1, 1]
