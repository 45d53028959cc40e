"""A cross-validation by the command: what it writes, its out-of-fold scores, and a rank that is killed in a fold."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.commands.main import main
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.checkpoints import Checkpoints
from cxr_spark.training.folds import Fold, images_of
from tests.support.prepared_sets import write_prepared
from tests.support.small_model import write_model
from tests.support.trainings import model_id, planned_store, train

OPTIONS = ("--folds", "2", "--set", "train.epochs=2", "--set", "train.checkpoint_every_steps=1")
FOLDS = ("fold_1", "fold_2")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 50, "val": 11, "test": 5})


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights to start from: after two epochs from random ones, all images would have the same scores."""
    folder = tmp_path_factory.mktemp("weights") / "model"
    write_model(folder)
    return "--set", f"model.weights={folder}"


@pytest.fixture(scope="module")
def whole(data, weights, tmp_path_factory, spark):
    out = tmp_path_factory.mktemp("whole") / "run"
    assert train(data, out, *OPTIONS, *weights) == 0
    return out


def scores_of(out):
    return pd.read_parquet(out / "out_of_fold").sort_values("image_index", ignore_index=True)


def macro_auc(rows):
    return roc_auc_score(np.stack(rows["labels"]), np.stack(rows["probabilities"]), average="macro")


def test_every_image_of_train_and_val_is_scored_once_by_the_model_of_its_fold(data, whole):
    rows, told = scores_of(whole), json.loads((whole / "cross_validation.json").read_text())
    names = [f"{i:08d}_{split}.png" for split, n in (("train", 50), ("val", 11)) for i in range(n)]
    assert rows["image_index"].tolist() == sorted(names)
    assert set(rows["split"]) == {"val"}
    assert set(rows["model_id"]) == {"+".join(model_id(whole / fold) for fold in FOLDS)}
    for number, fold in enumerate(FOLDS, start=1):
        history = json.loads((whole / fold / "history.json").read_text())
        held_out = images_of(PreparedDataset.open(str(data)), Fold(number=number, of=2, seed=42))[1]
        own = rows[rows["image_index"].isin(held_out.names)]
        assert own["probabilities"].map(tuple).nunique() > 1
        best = max(entry["val_macro_auc"] for entry in history)  # the rank's, on its own validation images
        assert macro_auc(own) == pytest.approx(best, abs=1e-12)
        result = told["folds"][fold]
        assert result["val_macro_auc"] == pytest.approx(best, abs=1e-12)
        assert (result["images"], result["training_images"]) == (len(own), 61 - len(own))
        assert result["patients"] == own["patient_id"].nunique()
    each = [told["folds"][fold]["val_macro_auc"] for fold in FOLDS]
    assert told["val_macro_auc"]["mean"] == pytest.approx(np.mean(each), abs=1e-12)
    assert told["val_macro_auc"]["standard_deviation"] == pytest.approx(np.std(each, ddof=1), abs=1e-12)


def test_the_scores_are_evaluated_as_any_others(whole, tmp_path, spark):
    out = tmp_path / "evaluation"
    assert main(["evaluate", "--predictions", str(whole / "out_of_fold"), "--out", str(out), "--replicates", "0"]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["macro"]["auc"] == pytest.approx(macro_auc(scores_of(whole)), abs=1e-12)
    assert metrics["n_images"] == 61
    assert not any("too good" in warning for warning in metrics["warnings"])


def test_the_folder_of_the_whole_scores_test_images_with_the_mean_of_its_models(data, whole, tmp_path, spark, capsys):
    options = ["--data", str(data), "--split", "val,test", "--model", str(whole)]
    assert main(["score", *options, "--out", str(tmp_path / "mean")]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning.startswith("SCORES OF IMAGES THAT MODELS WERE TRAINED ON")
    evaluation = ["--predictions", str(tmp_path / "mean"), "--out", str(tmp_path / "evaluation"), "--replicates", "0"]
    assert main(["evaluate", *evaluation, "--split", "test"]) == 0
    assert warning in json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["warnings"]
    capsys.readouterr()
    assert main(["score", *options, "--calibrate", "platt", "--out", str(tmp_path / "calibrated")]) == 2
    assert "--calibration-data" in capsys.readouterr().err
    each = []
    for fold in FOLDS:
        out = tmp_path / fold
        assert main(["score", "--data", str(data), "--model", str(whole / fold / "model"), "--out", str(out)]) == 0
        each.append(np.stack(pd.read_parquet(out).sort_values("image_index")["probabilities"]))
    mean = pd.read_parquet(tmp_path / "mean").sort_values("image_index").query("split == 'test'")
    assert np.stack(mean["probabilities"]) == pytest.approx(np.mean(each, axis=0), abs=1e-6)


def test_the_same_command_finds_its_work_and_another_is_refused(data, weights, whole, capsys):
    capsys.readouterr()
    assert train(data, whole, *OPTIONS, *weights) == 0
    assert list(json.loads(capsys.readouterr().out)["folds"]) == list(FOLDS)
    assert train(data, whole, "--folds", "3", *OPTIONS[2:], *weights) == 2
    assert "folds was 2, is 3" in capsys.readouterr().err
    assert train(data, whole, *OPTIONS[2:], *weights) == 2
    assert "holds the output of 'train --folds', not of 'train'" in capsys.readouterr().err


def kill_the_rank_in(out):
    """Kills the training rank of this process once a training has taken its second step."""
    while not (entries := (Checkpoints(planned_store(out)).manifest() or {"entries": []})["entries"]) or (
        entries[-1]["global_step"] < 2
    ):
        threading.Event().wait(0.05)
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # others come and go while they are looked at
            if "LOCAL_RANK" in child.environ():
                os.kill(child.pid, signal.SIGKILL)


def test_a_cross_validation_that_is_killed_in_its_second_fold_goes_on_to_the_same_bits(data, weights, whole, tmp_path):
    out = tmp_path / "run"
    killer = threading.Thread(target=kill_the_rank_in, args=(out / "fold_2",), daemon=True)
    killer.start()
    assert train(data, out, *OPTIONS, *weights, "--set", "train.max_restarts=0") == 4
    killer.join()
    first = (out / "fold_1" / "model" / "weights.safetensors").stat().st_mtime_ns
    assert not (out / "fold_2" / "model").exists()
    assert train(data, out, *OPTIONS, *weights) == 0
    assert (out / "fold_1" / "model" / "weights.safetensors").stat().st_mtime_ns == first  # not trained again
    assert [model_id(out / fold) for fold in FOLDS] == [model_id(whole / fold) for fold in FOLDS]
    ours, theirs = scores_of(out), scores_of(whole)
    assert np.array_equal(np.stack(ours["probabilities"]), np.stack(theirs["probabilities"]))
