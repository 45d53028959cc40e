"""All jobs on BigDL's older Spark, numpy and pandas; what it trained is scored alike in the default environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.commands.main import main
from tests.bigdl.conftest import ENGINE

#: The Python of the default environment, by which `make test-bigdl` has the model scored again.
DEFAULT_PYTHON = os.environ.get("CXR_DEFAULT_PYTHON")
SETTINGS = {
    "model.architecture": "googlenet", "model.input_size": "64", "model.freeze": "backbone", "train.epochs": "1",
    "train.global_batch": "16", "train.learning_rate": "1e-3", "train.bigdl_engine": ENGINE,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(spark: object, cluster: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic set that was made, prepared, trained on, scored and evaluated in this environment."""
    root: Path = tmp_path_factory.mktemp("jobs")
    chosen = [text for name, value in SETTINGS.items() for text in ("--set", f"{name}={value}")]
    lists = ["--train-list", f"{root}/set/train_val_list.txt", "--test-list", f"{root}/set/test_list.txt"]
    for line in (
        ["sample-data", "--out", f"{root}/set", "--images", "120", "--size", "64"],
        ["prepare", "--images", f"{root}/set", "--labels", f"{root}/set/Data_Entry_2017.csv", *lists, "--size", "64",
         "--out", f"{root}/prepared"],
        ["train", "--backend", "bigdl", "--data", f"{root}/prepared", "--out", f"{root}/run", *chosen],
        ["score", "--data", f"{root}/prepared", "--model", f"{root}/run/model", "--out", f"{root}/scores"],
        ["evaluate", "--predictions", f"{root}/scores", "--replicates", "20", "--out", f"{root}/evaluation"],
    ):  # fmt: skip
        assert main(line) == 0
    return root


def aucs(evaluation: Path) -> dict[str, float | None]:
    found = json.loads((evaluation / "metrics.json").read_text())["findings"]
    return {name: values["auc"] for name, values in found.items()}


def test_every_image_is_prepared_or_quarantined(folder: Path) -> None:
    manifest = json.loads((folder / "prepared" / "manifest.json").read_text())
    labels = pd.read_csv(folder / "set" / "Data_Entry_2017.csv")
    images = sum(split["images"] for split in manifest["splits"].values())
    assert images + sum(manifest["quarantined"].values()) == len(labels) == 120


def test_aucs_are_those_of_sklearn(folder: Path) -> None:
    rows = pd.concat(pq.read_table(path).to_pandas() for path in sorted((folder / "scores").rglob("*.parquet")))
    labels, probabilities = np.stack(rows["labels"]), np.stack(rows["probabilities"])
    findings = json.loads((folder / "prepared" / "manifest.json").read_text())["findings"]
    found = aucs(folder / "evaluation")
    for i, name in enumerate(findings):
        auc = found[name]
        if len(set(labels[:, i])) == 2:
            assert auc == pytest.approx(roc_auc_score(labels[:, i], probabilities[:, i]), abs=1e-12), name
        else:
            assert auc is None


@pytest.mark.skipif(not DEFAULT_PYTHON, reason="CXR_DEFAULT_PYTHON does not name the default environment's Python")
def test_the_default_environment_scores_the_model_with_the_same_aucs(folder: Path, tmp_path: Path) -> None:
    scores, evaluation = tmp_path / "scores", tmp_path / "evaluation"
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYSPARK_", "SPARK_"))}
    for line in (
        ["score", "--data", str(folder / "prepared"), "--model", str(folder / "run" / "model"), "--out", str(scores)],
        ["evaluate", "--predictions", str(scores), "--replicates", "20", "--out", str(evaluation)],
    ):
        command = [str(DEFAULT_PYTHON), "-m", "cxr_spark.commands.main", *line, "--master", "local[1]"]
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    found, expected = aucs(evaluation), aucs(folder / "evaluation")
    assert found.keys() == expected.keys()
    for name, auc in expected.items():
        assert found[name] == (None if auc is None else pytest.approx(auc, abs=1e-6)), name
