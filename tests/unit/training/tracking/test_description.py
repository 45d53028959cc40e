"""What MLflow is told of a training, and what ranks, models and fingerprints are not."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from cxr_spark import __version__
from cxr_spark.config import load_settings
from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import digest
from cxr_spark.training.folds import Fold
from cxr_spark.training.start import fingerprint
from cxr_spark.training.tracking.description import described
from cxr_spark.training.tracking.service import Service, told

URI = "http://anna:secret@host:5000"


def dataset():
    return SimpleNamespace(
        store=SimpleNamespace(uri="file:///data"),
        manifest={"files": []},
        findings=("Mass", "Edema"),
        size=64,
        images=lambda split: {"train": 50, "val": 11}[split],
    )


def settings(*more):
    return load_settings(None, [f"train.mlflow.uri={URI}", *more])


def test_settings_data_and_versions_become_parameters():
    given = settings("train.epochs=7", "train.class_weights={Mass: 5}", "model.weights=https://anna:secret@host/w.pth")
    made = described(given, dataset(), "file:///runs/first")
    parameters = made.parameters
    assert made.name == "first"
    assert parameters["train.epochs"] == "7"
    assert parameters["train.class_weights.Mass"] == "5.0"
    assert parameters["train.schedule.kind"] == "plateau"
    assert json.loads(parameters["train.augmentations"]) == [{"random_horizontal_flip": {"p": 0.5}}]
    assert parameters["model.weights"] == "https://***@host/w.pth"
    assert parameters["data.manifest_sha256"] == digest({"files": []})
    assert (parameters["data.training_images"], parameters["data.validation_images"]) == ("50", "11")
    assert parameters["data.findings"] == '["Mass", "Edema"]'
    assert parameters["version.cxr-spark"] == __version__
    assert not any(name.startswith("train.mlflow") for name in parameters)
    assert "secret" not in str(made)


def test_a_fold_is_named_and_does_not_tell_counts_of_other_splits():
    fold = Fold(number=2, of=5, seed=1)
    made = described(settings(), dataset(), "file:///runs/whole/fold_2", fold)
    assert made.name == "whole/fold_2"
    assert (made.parameters["fold.number"], made.parameters["fold.of"]) == ("2", "5")
    assert "data.training_images" not in made.parameters
    assert "mlflow.parentRunId" not in made.tags
    mine = described(settings("train.mlflow.run_name=mine"), dataset(), "file:///a/b", fold, parent="0abc")
    assert (mine.name, mine.tags["mlflow.parentRunId"]) == ("mine fold 2", "0abc")


def test_a_whole_cross_validation_tells_the_number_of_folds():
    made = described(settings(), dataset(), "file:///runs/whole", folds=5)
    assert (made.name, made.parameters["folds"]) == ("whole", "5")
    assert "data.training_images" not in made.parameters


def test_tracking_is_in_no_fingerprint():
    assert fingerprint(settings(), dataset()) == fingerprint(load_settings(None), dataset())


def test_a_client_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"train.mlflow.uri=http://\*\*\*@host:5000 needs mlflow, not installed"):
        Service(URI)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first\nsecond", "first second"),
        ("", "Exception"),
        ("x" * 300, "x" * 197 + "..."),
        (f"Invalid url: {URI}/api", "Invalid url: http://***@host:5000/api"),
        (
            "API request to http://h:1/api failed with exception HTTPConnectionPool(host='h', port=1): Max retries "
            "exceeded with url: /api (Caused by NewConnectionError(\"HTTPConnection(host='h', port=1): Failed to "
            'establish a new connection: [Errno 111] Connection refused"))',
            "NewConnectionError(\"HTTPConnection(host='h', port=1): Failed to establish a new connection: [Errno 111] "
            'Connection refused")',
        ),
    ],
)
def test_an_error_of_the_client_is_told_in_one_line_without_a_password(text, expected):
    assert told(Exception(text)) == expected
