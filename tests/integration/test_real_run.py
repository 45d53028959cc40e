"""The whole way on real images: NIH's labels, the genuine ImageNet weights, training, scores, AUCs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.commands.main import main

#: Images of NIH's patients up to this one: enough of both official lists for a short training.
LAST_PATIENT = 120


@pytest.fixture(scope="module")
def outputs(real_data: Path, imagenet_weights: Path, tmp_path_factory: pytest.TempPathFactory, spark: Any) -> Path:
    """Prepares, trains two epochs, scores and evaluates a subset of the real images."""
    root = tmp_path_factory.mktemp("real run")
    images, labels = root / "images", real_data / "labels"
    images.mkdir()
    for file in sorted((real_data / "images_64").rglob("*.png")):
        if int(file.name[:8]) <= LAST_PATIENT:
            (images / file.name).symlink_to(file)
    lists = ["--train-list", str(labels / "train_val_list.txt"), "--test-list", str(labels / "test_list.txt")]
    prepared, run, scores = (str(root / name) for name in ("prepared", "run", "scores"))
    settings = {
        "model.architecture": "resnet50_v1",
        "model.weights": f"'{imagenet_weights}'",
        "model.input_size": "64",
        "train.epochs": "2",
        "train.global_batch": "32",
    }
    chosen = [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]
    for line in (
        ["prepare", "--images", str(images), "--labels", str(labels / "Data_Entry_2017.csv.gz"), *lists,
         "--size", "64", "--out", prepared],
        ["train", "--data", prepared, "--out", run, *chosen],
        ["score", "--data", prepared, "--model", f"{run}/model", "--out", scores],
        ["evaluate", "--predictions", scores, "--replicates", "50", "--out", str(root / "evaluation")],
    ):  # fmt: skip
        assert main(line) == 0
    return root


def test_the_manifest_counts_as_pandas_does(outputs: Path, real_data: Path) -> None:
    manifest = json.loads((outputs / "prepared" / "manifest.json").read_text())
    table = pd.read_csv(real_data / "labels" / "Data_Entry_2017.csv.gz", usecols=["Image Index", "Finding Labels"])
    table = table[table["Image Index"].isin([file.name for file in (outputs / "images").iterdir()])]
    test = set((real_data / "labels" / "test_list.txt").read_text().split())
    held_out = table[table["Image Index"].isin(test)]
    splits = manifest["splits"]
    assert splits["test"]["images"] == len(held_out)
    assert splits["train"]["images"] + splits["val"]["images"] == len(table) - len(held_out)
    for finding, count in splits["test"]["findings"].items():
        assert count == held_out["Finding Labels"].str.split("|").map(lambda names, f=finding: f in names).sum()


def test_the_network_learns(outputs: Path) -> None:
    history = json.loads((outputs / "run" / "history.json").read_text())
    assert history[1]["train_loss"] < 0.8 * history[0]["train_loss"]
    assert all(np.isfinite(entry["val_loss"]) for entry in history)


def test_every_auc_is_sklearns_on_the_same_rows(outputs: Path, real_data: Path) -> None:
    scores = pd.read_parquet(outputs / "scores")
    metrics = json.loads((outputs / "evaluation" / "metrics.json").read_text())
    table = pd.read_csv(real_data / "labels" / "Data_Entry_2017.csv.gz", usecols=["Image Index", "Finding Labels"])
    given = table.set_index("Image Index")["Finding Labels"].str.split("|")
    names = list(metrics["findings"])
    truth = np.array([[name in given[index] for name in names] for index in scores["image_index"]])
    found = np.stack(scores["probabilities"]).astype(np.float64)
    expected = {}
    for k, name in enumerate(names):
        if truth[:, k].all() or not truth[:, k].any():
            assert metrics["findings"][name]["auc"] is None
        else:
            expected[name] = roc_auc_score(truth[:, k], found[:, k])
            assert metrics["findings"][name]["auc"] == pytest.approx(expected[name], abs=1e-12)
    assert len(expected) >= 8
    assert metrics["macro"]["auc"] == pytest.approx(np.mean(list(expected.values())), abs=1e-12)
    assert metrics["micro"]["auc"] == pytest.approx(roc_auc_score(truth.ravel(), found.ravel()), abs=1e-12)
