"""Trainings whose metrics and files are compared with what MLflow's own client reads back."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from cxr_spark.commands.main import main
from cxr_spark.training import job
from cxr_spark.training.tracking import following
from cxr_spark.training.tracking.service import Service
from tests.mlflow.tracked import artifacts, client, epochs, history, runs
from tests.support.trainings import SMALL, train


def options(uri, experiment, *more):
    pairs = (f"train.mlflow.uri={uri}", f"train.mlflow.experiment={experiment}", *more)
    return [text for pair in pairs for text in ("--set", pair)]


def wait_until(true, seconds=200):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("kind", ["http", "file", "sqlite"])
def test_a_training_is_in_mlflow_as_its_folder_tells_it(kind, data, server, tmp_path, spark):
    local = {"file": f"file://{tmp_path}/store", "sqlite": f"sqlite:///{tmp_path}/mlflow.db"}
    uri, out = local.get(kind, server.uri), tmp_path / "run"
    more = ("train.epochs=2", "train.mlflow.run_name=first", "train.class_weights={Mass: 2}")
    assert train(data, out, *options(uri, kind, *more)) == 0
    (run,) = runs(uri, kind)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    assert run.info.run_id == json.loads((out / "mlflow.json").read_text())["run_id"]
    told = run.data.params
    assert (told["train.epochs"], told["model.architecture"]) == ("2", "efficientnet_b0")
    assert (told["train.class_weights.Mass"], told["data.training_images"]) == ("2.0", "50")
    metadata = json.loads((out / "model" / "metadata.json").read_text())
    assert told["data.manifest_sha256"] == metadata["training"]["data_manifest"]
    assert "mlflow" not in metadata["training"]["train"]
    assert epochs(uri, run.info.run_id) == history(out)
    found = artifacts(uri, run.info.run_id, tmp_path / "downloaded")
    assert {"history.json", "curves.png", "model/metadata.json", "model/weights.safetensors"} <= found.keys()
    for name, content in found.items():
        assert hashlib.sha256(content).hexdigest() == hashlib.sha256((out / name).read_bytes()).hexdigest(), name


def test_the_report_of_an_evaluation_is_in_the_run_of_its_model(data, tmp_path, spark):
    uri = f"file://{tmp_path}/store"
    given = options(uri, "reports")
    assert train(data, tmp_path / "run", *given, "--set", "train.epochs=1") == 0
    model = ["--data", str(data), "--model", str(tmp_path / "run" / "model"), "--split", "all"]
    assert main(["score", *model, "--out", str(tmp_path / "scores")]) == 0
    out = tmp_path / "evaluation"
    assert main(["evaluate", "--predictions", str(tmp_path / "scores"), "--out", str(out), *given]) == 0
    (run,) = runs(uri, "reports")
    found = artifacts(uri, run.info.run_id, tmp_path / "downloaded")
    assert found["evaluation/report.html"] == (out / "report.html").read_bytes()
    metrics = json.loads((out / "metrics.json").read_text())
    assert run.data.metrics["evaluation_micro_auc"] == metrics["micro"]["auc"]


def test_a_killed_training_goes_on_in_the_same_run(data, server, tmp_path, spark):
    out, log = tmp_path / "run", tmp_path / "log"
    given = options(server.uri, "killed", "train.epochs=6")
    small = [text for pair in (*SMALL, "train.global_batch=10") for text in ("--set", pair)]
    command = [sys.executable, "-m", "cxr_spark.commands.main", "train", "--data", data, "--out", out, *small, *given]
    with log.open("wb") as stream:
        killed = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
    try:
        wait_until(lambda: killed.poll() is not None or (runs(server.uri, "killed") and _steps(server.uri, "killed")))
        assert killed.poll() is None, log.read_text()[-3000:]
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    (before,) = runs(server.uri, "killed")
    assert before.info.status == "RUNNING"
    assert 1 <= len(json.loads((out / "history.json").read_text())) < 6
    assert train(data, out, *given) == 0
    (after,) = runs(server.uri, "killed")
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    assert epochs(server.uri, after.info.run_id) == history(out)
    assert [step for name, step, _ in epochs(server.uri, after.info.run_id) if name == "train_loss"] == [*range(1, 7)]


def _steps(uri, experiment):
    (run,) = runs(uri, experiment)
    return [step for name, step, _ in epochs(uri, run.info.run_id) if name == "train_loss"]


def test_the_folds_of_a_cross_validation_are_runs_below_one(data, server, tmp_path, spark):
    out = tmp_path / "cv"
    assert train(data, out, "--folds", "2", *options(server.uri, "folds", "train.epochs=1")) == 0
    found = {run.info.run_name: run for run in runs(server.uri, "folds")}
    assert found.keys() == {"cv", "cv/fold_1", "cv/fold_2"}
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    whole = found["cv"]
    told = json.loads((out / "cross_validation.json").read_text())
    assert whole.data.params["folds"] == "2"
    assert whole.data.metrics["val_macro_auc_mean"] == told["val_macro_auc"]["mean"]
    assert whole.data.metrics["val_macro_auc_standard_deviation"] == told["val_macro_auc"]["standard_deviation"]
    kept = artifacts(server.uri, whole.info.run_id, tmp_path / "whole")
    assert kept == {"cross_validation.json": (out / "cross_validation.json").read_bytes()}
    for number in (1, 2):
        fold = found[f"cv/fold_{number}"]
        assert fold.data.tags["mlflow.parentRunId"] == whole.info.run_id
        assert fold.data.params["fold.number"] == str(number)
        assert epochs(server.uri, fold.info.run_id) == history(out / f"fold_{number}")


def test_the_client_reports_nothing(server):
    from mlflow.telemetry.client import get_telemetry_client
    from mlflow.telemetry.utils import is_telemetry_disabled

    Service(server.uri)
    assert is_telemetry_disabled()
    assert get_telemetry_client() is None


def test_a_finished_training_goes_on_in_its_run_when_it_is_made_longer(data, server, tmp_path, spark):
    out = tmp_path / "run"
    assert train(data, out, *options(server.uri, "longer", "train.epochs=1")) == 0
    assert train(data, out, *options(server.uri, "longer", "train.epochs=2")) == 0
    (run,) = runs(server.uri, "longer")
    assert epochs(server.uri, run.info.run_id) == history(out)
    assert len(history(out)) > 8
    assert run.data.params["train.epochs"] == "1"  # MLflow changes no parameter
    assert run.data.tags["changed.train.epochs"] == "2"
    assert run.info.status == "FINISHED"


def test_a_server_that_dies_and_comes_back_has_the_whole_training(data, server, tmp_path, spark, capsys, monkeypatch):
    out, stopped, finish = tmp_path / "run", threading.Event(), job.finish

    def stop():
        try:
            wait_until(lambda: runs(server.uri, "dies") and _steps(server.uri, "dies"))
            server.stop()
        finally:
            stopped.set()

    def finish_later(*given):
        assert stopped.wait(300)
        time.sleep(1)  # several looks at the history
        server.start()
        return finish(*given)

    monkeypatch.setattr(following, "LOOK_EVERY", 0.2)
    monkeypatch.setattr(job, "finish", finish_later)
    breaking = threading.Thread(target=stop)
    breaking.start()
    try:
        assert train(data, out, *options(server.uri, "dies", "train.epochs=10")) == 0
    finally:
        breaking.join()
    (run,) = runs(server.uri, "dies")
    assert run.info.status == "FINISHED"
    assert epochs(server.uri, run.info.run_id) == history(out)
    told = capsys.readouterr().err
    assert told.count("takes nothing") == 1
    assert told.count("has what it missed") == 1
    assert told.count("epoch 10/10 done") == 1


def test_a_server_that_is_down_is_told_before_anything_is_written(data, tmp_path, capsys):
    with socket.socket() as taken:  # a port that nobody listens on
        taken.bind(("127.0.0.1", 0))
        uri = f"http://anna:secret@127.0.0.1:{taken.getsockname()[1]}"
        begun = time.monotonic()
        assert train(data, tmp_path / "run", *options(uri, "down")) == 4
    assert time.monotonic() - begun < 60
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cxr-spark train: ")]
    shown = uri.replace("anna:secret", "***")
    assert len(errors) == 1
    assert errors[0].startswith(f"cxr-spark train: train.mlflow.uri={shown}: MLflow cannot be used there (")
    assert "Connection refused" in errors[0]
    assert "secret" not in errors[0]
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_server_that_refuses_is_told_before_anything_is_written(data, tmp_path, capsys):
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403, "not for you")

        do_POST = do_GET

    refusing = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=refusing.serve_forever, daemon=True).start()
    try:
        uri = f"http://anna:secret@127.0.0.1:{refusing.server_port}"
        assert train(data, tmp_path / "run", *options(uri, "refused")) == 4
    finally:
        refusing.shutdown()
        refusing.server_close()
    told = capsys.readouterr().err
    assert "403" in told
    assert "secret" not in told
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_an_experiment_that_was_deleted_is_told(data, server, tmp_path, capsys):
    client(server.uri).delete_experiment(client(server.uri).create_experiment("gone"))
    assert train(data, tmp_path / "run", *options(server.uri, "gone")) == 2
    assert "train.mlflow.experiment=gone is a deleted experiment in MLflow" in capsys.readouterr().err
