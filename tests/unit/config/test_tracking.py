"""The tracking URI of MLflow: which kinds are taken, and where its password does not appear."""

from __future__ import annotations

import pytest
import yaml

from cxr_spark.commands.main import main
from cxr_spark.config import load_settings
from cxr_spark.errors import ConfigError


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("http://host:5000", None),
        ("https://anna:secret@host/mlflow", None),
        ("file:///runs/mlflow", "file:///runs/mlflow"),
        ("sqlite:////runs/mlflow.db", "file:///runs/mlflow.db"),
        ("sqlite:///mlflow.db", "file:///here/mlflow.db"),
    ],
)
def test_the_kinds_of_uris_and_what_lies_on_the_drivers_disk(uri, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load_settings(None, [f"train.mlflow.uri={uri}"]).train.mlflow
    assert found.uri == uri
    assert found.place == (place and place.replace("/here", str(tmp_path)))


@pytest.mark.parametrize(
    "uri",
    ["mlruns", "/runs/mlflow", "http://", "http:///path", "file://host/path", "file:/runs", "sqlite://", "sqlite:x.db",
     "databricks", "postgresql://anna:secret@host/db", "http://[anna:secret@host", "http://anna:se/cret@host",
     "http://host:port", ""],
)  # fmt: skip
def test_other_uris_are_refused_without_telling_a_password(uri):
    with pytest.raises(
        ConfigError, match=r"train\.mlflow\.uri=.*expected http://HOST:PORT, https://HOST, sqlite"
    ) as told:
        load_settings(None, [f"train.mlflow.uri='{uri}'"])
    assert "secret" not in str(told.value)
    assert "cret@" not in str(told.value)


def test_shown_settings_have_no_password(capsys):
    assert main(["config", "--show", "--set", "train.mlflow.uri=http://anna:secret@host:5000"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["train"]["mlflow"]["uri"] == "http://***@host:5000"
    assert main(["config", "--show"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["train"]["mlflow"]["uri"] is None
