"""A training's run in MLflow: one, however often the training was stopped, with each epoch in it once."""

from __future__ import annotations

import json

import pytest

from cxr_spark.storage.store import Store
from cxr_spark.training.tracking.run import Description, TrackedRun
from tests.support.fake_mlflow import DownError, FakeMlflow

URI = "http://anna:secret@host:5000"
DESCRIPTION = Description("name", {"train.epochs": "3"}, {"tag": "value"})


def epoch(number, **values):
    entry = {"epoch": number, "train_loss": 1 / number, "val_loss": 2 / number, "val_macro_auc": None, "seconds": 10.0}
    return {**entry, **values}


HISTORY = [epoch(1), epoch(2), epoch(3)]


@pytest.fixture
def mlflow():
    return FakeMlflow()


@pytest.fixture
def folder(tmp_path):
    return Store(f"file://{tmp_path}")


def begun(mlflow, folder, uri=URI):
    run = TrackedRun(mlflow, uri, "7", folder)
    run.begin(DESCRIPTION)
    return run


def logged(mlflow, run="run0"):
    return sorted((metric.step, metric.name, metric.value) for metric in mlflow.runs[run]["metrics"])


EXPECTED = [
    (1, "train_loss", 1.0), (1, "val_loss", 2.0),
    (2, "train_loss", 0.5), (2, "val_loss", 1.0),
    (3, "train_loss", 1 / 3), (3, "val_loss", 2 / 3),
]  # fmt: skip


def test_a_run_has_parameters_and_the_metrics_that_are_defined(mlflow, folder):
    begun(mlflow, folder).log_epochs(HISTORY)
    held = mlflow.runs["run0"]
    assert (held["name"], held["experiment"], held["parameters"]) == ("name", "7", {"train.epochs": "3"})
    assert held["tags"]["tag"] == "value"
    assert logged(mlflow) == EXPECTED
    times = {metric.step: metric.time for metric in held["metrics"]}
    assert times[2] - times[1] == pytest.approx(10)  # an epoch took 10 seconds
    assert times[3] - times[2] == pytest.approx(10)


def test_a_stopped_training_goes_on_in_the_same_run_and_logs_no_epoch_twice(mlflow, folder):
    begun(mlflow, folder).log_epochs(HISTORY[:2])
    again = begun(mlflow, folder)
    again.log_epochs(HISTORY[:2])
    again.log_epochs(HISTORY)
    again.end("FINISHED")
    assert list(mlflow.runs) == ["run0"]
    assert logged(mlflow) == EXPECTED
    assert mlflow.runs["run0"]["status"] == ["RUNNING", "RUNNING", "FINISHED"]


def test_a_run_whose_id_could_not_be_noted_is_found_again(mlflow, folder, monkeypatch):
    """The process dies between the moment at which MLflow makes the run and the note of its ID."""
    whole = FakeMlflow.new_run

    def killed(self, *given):
        whole(self, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FakeMlflow, "new_run", killed)
        with pytest.raises(KeyboardInterrupt):
            begun(mlflow, folder)
    assert begun(mlflow, folder).id == "run0"
    assert list(mlflow.runs) == ["run0"]


def test_a_run_that_was_deleted_in_mlflow_is_made_anew(mlflow, folder, caplog):
    begun(mlflow, folder)
    mlflow.runs["other"] = mlflow.runs.pop("run0")
    mlflow.runs["other"]["tags"] = {}
    assert begun(mlflow, folder).id == "run1"
    assert "the run run0 is no longer in MLflow" in caplog.text
    assert begun(mlflow, folder).id == "run1"


@pytest.mark.parametrize("note", ["other", "{", '{"uri": "http://host:5000", "run_id": 3}', "[]"])
def test_a_note_that_is_damaged_or_of_another_server_makes_a_new_run(mlflow, folder, note):
    begun(mlflow, folder)
    if note == "other":
        assert begun(mlflow, folder, "http://other:5000").id == "run1"
    else:
        folder.write_bytes("mlflow.json", note.encode())
        assert begun(mlflow, folder).id == "run1"


def test_the_note_holds_no_password_and_another_password_is_no_other_server(mlflow, folder):
    begun(mlflow, folder)
    note = json.loads(folder.read_bytes("mlflow.json"))
    assert note["run_id"] == "run0"
    assert "secret" not in str(note)
    assert begun(mlflow, folder, "http://anna:new@host:5000").id == "run0"


@pytest.mark.parametrize("taken", range(7))
def test_what_a_broken_connection_left_out_is_logged_later(mlflow, folder, taken):
    run = begun(mlflow, folder)
    mlflow.takes_metrics = taken
    if taken < 6:
        with pytest.raises(DownError):
            run.log_epochs(HISTORY)
    mlflow.takes_metrics = 100
    run.log_epochs(HISTORY)
    assert logged(mlflow) == EXPECTED


def test_the_files_are_those_that_the_training_wrote(mlflow, folder):
    files = {
        name: name.encode()
        for name in (
            *("history.json", "curves.png", "training.html", "model/metadata.json", "model/weights.safetensors"),
            *("model/metadata/part-00000", "model/metadata/_SUCCESS"),
        )
    }
    others = ("model/openvino.safetensors", "model/notes.txt", "notes.txt", "_done.json", "checkpoints/manifest.json")
    for name, data in {**files, **dict.fromkeys(others, b"")}.items():
        folder.write_bytes(name, data)
    begun(mlflow, folder).log_files()
    assert mlflow.runs["run0"]["files"] == files
