"""The installed wheel away from its sources, where torch cannot be imported, neither here nor in Spark's workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import cxr_spark

#: Python runs a module of this name at its start, in every process that inherits PYTHONPATH.
BLOCK = "import sys\nsys.modules.update({name: None for name in ('torch', 'torchvision', 'tensorboard', 'h5py')})\n"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs `cxr-spark` of the wheel in an empty folder, without torch."""
    blocked, empty = tmp_path_factory.mktemp("blocked"), tmp_path_factory.mktemp("empty")
    (blocked / "sitecustomize.py").write_text(BLOCK)
    own = {**os.environ, "PYTHONPATH": f"{blocked}:{installed}", "PYSPARK_PYTHON": sys.executable}

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(installed / "bin" / "cxr-spark"), *arguments]
        return subprocess.run(command, cwd=empty, env=own, capture_output=True, text=True, check=False)

    return start


@pytest.fixture(scope="module")
def prepared(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("data")
    lists = ["--train-list", f"{folder}/set/train_val_list.txt", "--test-list", f"{folder}/set/test_list.txt"]
    for line in (
        ["sample-data", "--out", f"{folder}/set", "--images", "60", "--size", "64"],
        ["prepare", "--images", f"{folder}/set", "--labels", f"{folder}/set/Data_Entry_2017.csv", *lists,
         "--size", "64", "--out", f"{folder}/prepared"],
    ):  # fmt: skip
        done = run(*line)
        assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_the_wheel_itself_is_run(installed: Path) -> None:
    own = {**os.environ, "PYTHONPATH": str(installed)}
    show = "import cxr_spark; print(cxr_spark.__file__)"
    done = subprocess.run([sys.executable, "-c", show], cwd="/", env=own, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(installed / "cxr_spark" / "__init__.py")
    assert os.access(installed / "cxr_spark/runtime/java_without_vector/bin/java", os.X_OK)  # a program


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"{cxr_spark.__version__}\n"


def test_images_are_prepared_without_torch(prepared: Path) -> None:
    manifest = json.loads((prepared / "prepared" / "manifest.json").read_text())
    assert sum(split["images"] for split in manifest["splits"].values()) == 60


def test_prepared_data_are_explored_without_torch(run: Run, prepared: Path) -> None:
    done = run("explore", "--data", f"{prepared}/prepared", "--out", f"{prepared}/explored")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "synthetic" in (prepared / "explored" / "explore.html").read_text()


def test_predictions_are_evaluated_without_torch(run: Run, prepared: Path, tmp_path: Path) -> None:
    labels = pd.read_csv(prepared / "set" / "Data_Entry_2017.csv")
    # A tool that is right about every image.
    right = labels["Finding Labels"].str.contains("Effusion").astype(float)
    pd.DataFrame({"Image Index": labels["Image Index"], "prob_Effusion": right}).to_csv(tmp_path / "p.csv", index=False)
    options = ["--predictions", f"{tmp_path}/p.csv", "--labels", f"{prepared}/set/Data_Entry_2017.csv"]
    done = run("evaluate", *options, "--replicates", "20", "--out", f"{tmp_path}/evaluation")
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert metrics["findings"]["Effusion"]["auc"] == 1
    assert (tmp_path / "evaluation" / "report.html").stat().st_size > 1000


def test_training_says_what_is_missing(run: Run, prepared: Path) -> None:
    done = run("train", "--data", f"{prepared}/prepared", "--out", f"{prepared}/run")
    assert done.returncode == 2
    assert "pip install 'cxr-spark[torch]'" in done.stderr
