"""The report of an evaluation goes into the run of its model, and no fault of MLflow fails the evaluation."""

from __future__ import annotations

import logging

import pytest

from cxr_spark.config.tracking import MlflowSettings
from cxr_spark.evaluation.result import EvaluateResult
from cxr_spark.storage.store import Store
from cxr_spark.training.tracking import report
from tests.support.fake_mlflow import FakeMlflow

SETTINGS = MlflowSettings(uri="http://anna:secret@host:5000")
FILES = {name: name.encode() for name in ("report.html", "metrics.json", "model_card.md", "roc.png", "auc.png")}


@pytest.fixture
def mlflow(monkeypatch):
    fake = FakeMlflow()
    fake.new_run("7", "other", {"cxr_spark.model_id": "b" * 64})
    fake.new_run("7", "own", {"cxr_spark.model_id": "a" * 64})
    monkeypatch.setattr(report, "connect", lambda uri, experiment: (fake, "7"))
    monkeypatch.setattr(report, "check_mlflow", lambda uri: None)
    return fake


@pytest.fixture
def folder(tmp_path):
    store = Store(f"file://{tmp_path}")
    for name, content in FILES.items():
        store.write_bytes(name, content)
    store.write_bytes("tables/findings.csv", b"")
    return store


def result(model_id):
    numbers = {"macro_auc": 0.75, "micro_auc": 0.8, "macro_f1": None}
    return EvaluateResult(out="out", report="out/report.html", n_images=5, model_id=model_id, **numbers)


def test_files_and_numbers_are_in_the_run_of_the_model_alone(mlflow, folder):
    report.report_logger(SETTINGS)(folder, result("a" * 64))
    assert mlflow.runs["run1"]["files"] == {f"evaluation/{name}": content for name, content in FILES.items()}
    assert mlflow.runs["run1"]["results"] == {"evaluation_macro_auc": 0.75, "evaluation_micro_auc": 0.8}
    assert mlflow.runs["run0"]["files"] == {}


@pytest.mark.parametrize("model_id", ["c" * 64, None])
def test_a_model_without_a_run_is_told(model_id, mlflow, folder, caplog):
    report.report_logger(SETTINGS)(folder, result(model_id))
    assert "so it lacks the report" in caplog.text
    assert all(run["files"] == {} for run in mlflow.runs.values())


def test_a_server_that_is_down_fails_no_evaluation(mlflow, folder, caplog):
    mlflow.down = True
    with caplog.at_level(logging.WARNING):
        report.report_logger(SETTINGS)(folder, result("a" * 64))
    assert "does not take the report (connection refused" in caplog.text
    assert "secret" not in caplog.text


def test_without_a_uri_there_is_nothing_to_call():
    assert report.report_logger(MlflowSettings()) is None


def test_a_finished_training_tells_its_model(mlflow, tmp_path):
    from tests.unit.training.tracking.test_run import begun

    folder = Store(f"file://{tmp_path}")
    folder.write_json("model/metadata.json", {"weights_sha256": "d" * 64})
    begun(mlflow, folder).log_files()
    assert mlflow.runs["run2"]["tags"]["cxr_spark.model_id"] == "d" * 64
