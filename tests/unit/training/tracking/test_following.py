"""Trainings that are tracked by a MLflow that is there, that is down at the start, and that dies in between."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from cxr_spark.config import MlflowSettings
from cxr_spark.errors import DataError, RunError
from cxr_spark.storage.store import Store
from cxr_spark.training.tracking import following
from cxr_spark.training.tracking.run import Description, TrackedRun
from tests.support.fake_mlflow import FakeMlflow
from tests.unit.training.tracking.test_run import DESCRIPTION, EXPECTED, HISTORY, logged

SETTINGS = MlflowSettings(uri="http://anna:secret@host:5000")


@pytest.fixture
def mlflow(monkeypatch):
    fake = FakeMlflow()
    monkeypatch.setattr(following, "connect", lambda uri, experiment: (fake, experiment))
    monkeypatch.setattr(following, "LOOK_EVERY", 0.01)
    return fake


@pytest.fixture
def folder(tmp_path):
    return Store(f"file://{tmp_path}")


def wait_until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def track(folder):
    return following.tracked(SETTINGS, folder, lambda: DESCRIPTION)


def test_without_a_uri_nothing_is_tracked(mlflow, folder):
    with following.tracked(MlflowSettings(), folder, lambda: pytest.fail("asked for a description")):
        pass
    assert mlflow.runs == {}
    assert folder.names() == []


def test_epochs_are_logged_while_the_training_runs_and_files_at_its_end(mlflow, folder):
    with track(folder):
        folder.write_json("history.json", HISTORY[:1])
        wait_until(lambda: logged(mlflow) == EXPECTED[:2])
        folder.write_json("history.json", HISTORY)  # the last epochs may come just before the end
        assert mlflow.runs["run0"]["files"] == {}
    assert logged(mlflow) == EXPECTED
    assert list(mlflow.runs["run0"]["files"]) == ["history.json"]
    assert mlflow.runs["run0"]["status"][-1] == "FINISHED"


def test_numbers_that_the_training_fills_in_are_logged_at_its_end(mlflow, folder):
    numbers = {}
    with following.tracked(SETTINGS, folder, lambda: DESCRIPTION, numbers) as run:
        assert run == "run0"
        numbers["val_macro_auc_mean"] = 0.75
    assert mlflow.runs["run0"]["results"] == {"val_macro_auc_mean": 0.75}


@pytest.mark.parametrize(("error", "status"), [(DataError("bad"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
@pytest.mark.parametrize("down", [False, True])
def test_a_training_that_ends_badly_keeps_its_error(mlflow, folder, error, status, down):
    def train():
        with track(folder):
            folder.write_json("history.json", HISTORY)
            mlflow.down = down
            raise error

    with pytest.raises(type(error)) as raised:
        train()
    assert raised.value is error
    mlflow.down = False
    assert mlflow.runs["run0"]["status"][-1] == ("RUNNING" if down else status)
    assert mlflow.runs["run0"]["files"] == {}
    assert logged(mlflow)[-1:] == ([] if down else EXPECTED[-1:])


def test_mlflow_that_is_down_at_the_start_is_told_before_the_training(mlflow, folder):
    mlflow.down = True
    with pytest.raises(RunError) as raised, track(folder):
        pytest.fail("the training began")
    told = str(raised.value)
    assert told.startswith("train.mlflow.uri=http://***@host:5000: MLflow does not take the training (connection refus")
    assert "secret" not in told
    assert "leave train.mlflow out" in told
    assert "\n" not in told


def test_mlflow_that_is_down_when_a_fold_begins_does_not_end_the_cross_validation(mlflow, folder, caplog):
    mlflow.down = True
    with following.tracked(SETTINGS, folder, lambda: DESCRIPTION, whole=False) as run:
        assert run is None
    assert "the training goes on, and MLflow lacks this fold" in caplog.text
    assert "secret" not in caplog.text


def test_mlflow_that_dies_and_comes_back_is_told_once_and_gets_what_it_missed(mlflow, folder, caplog):
    caplog.set_level(logging.INFO)
    with track(folder):
        folder.write_json("history.json", HISTORY[:1])
        wait_until(lambda: logged(mlflow))
        mlflow.down = True
        folder.write_json("history.json", HISTORY[:2])
        wait_until(lambda: "takes nothing" in caplog.text)
        time.sleep(0.1)  # many looks at the history
        assert caplog.text.count("takes nothing") == 1
        mlflow.down = False
        wait_until(lambda: "has what it missed" in caplog.text)
        assert logged(mlflow) == EXPECTED[:4]
        folder.write_json("history.json", HISTORY)
    assert logged(mlflow) == EXPECTED
    assert "secret" not in caplog.text


def test_mlflow_that_stays_down_ends_no_training(mlflow, folder, caplog):
    with track(folder):
        folder.write_json("history.json", HISTORY)
        mlflow.down = True
    mlflow.down = False
    assert mlflow.runs["run0"]["status"] == ["RUNNING"]
    assert f"lacks the end of this training, which is whole in {folder.uri}" in caplog.text
    assert caplog.text.count("takes nothing") == 1


def test_a_request_that_hangs_does_not_hold_the_end_of_a_training(folder, caplog):
    mlflow, answer, asked = FakeMlflow(), threading.Event(), threading.Event()

    def hang(*given):
        asked.set()
        answer.wait(60)

    run = TrackedRun(mlflow, "http://host:5000", "1", folder)
    run.begin(Description("name", {}))
    mlflow.log_metrics = hang
    folder.write_json("history.json", HISTORY)
    follower = following.Follower(run, folder, "http://host:5000", every=0.01, patience=0.2)
    follower.start()
    assert asked.wait(30)
    begun = time.monotonic()
    follower.end("FINISHED")
    assert time.monotonic() - begun < 20
    answer.set()
    assert "MLflow at http://host:5000 does not answer: it lacks the end of this training" in caplog.text


@pytest.mark.parametrize("history", [b"{", b"3"])
def test_a_history_that_is_damaged_ends_no_training(mlflow, folder, history):
    with track(folder):
        folder.write_bytes("history.json", history)
    assert logged(mlflow) == []
