"""Trainings that end well, that go on after a kill, and that are refused."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from cxr_spark.commands.main import main
from cxr_spark.config import load_settings
from cxr_spark.errors import ConfigError, DataError
from cxr_spark.models.names import timm_is_installed
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.checkpoints import Checkpoints
from cxr_spark.training.start import start_training
from tests.support.predictions import write_predictions
from tests.support.prepared_sets import write_prepared
from tests.support.ranks import start_by_torchrun, start_ranks
from tests.support.trainings import SMALL, planned_store, train, wait_for_step

RUN = (*SMALL, "train.epochs=2", "train.global_batch=12", "train.checkpoint_every_steps=2")


#: The options of docs/training.md.
OPTIONS = (
    "train.clip_norm=1",
    "train.ema_decay=0.9",
    "train.loss=asymmetric",
    "train.label_smoothing=0.05",
    "train.accumulate=2",
)


#: The same with a network of timm, some of whose blocks are left out at random.
TIMM = (
    *OPTIONS,
    "model.architecture=timm/test_vit",
    "model.stochastic_depth=0.3",
    "train.layer_decay=0.8",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 50, "val": 11, "test": 5}, masked=0.1)


@pytest.fixture(scope="module")
def scores(data, tmp_path_factory):
    """What a teacher says of the training images."""
    names = [f"{i:08d}_train.png" for i in range(50)]
    folder = tmp_path_factory.mktemp("teacher") / "scores"
    return write_predictions(
        folder, names, np.random.default_rng(2).random((50, 3)), ("Effusion", "Mass", "No Finding")
    )


def planned(data, out, *overrides, threads=1):
    settings = load_settings(None, [*RUN, *overrides])
    spec = start_training(
        settings,
        PreparedDataset.open(str(data)),
        f"file://{out}",
        threads=threads,
        lock_token=None,
        default_fs="file:///",
    )
    out.mkdir(exist_ok=True)
    (out / "job.json").write_text(spec.model_dump_json())
    return spec


def start(out, workers):
    """Starts the ranks in a process group of their own, without Spark."""
    return start_ranks("cxr_spark.training.rank.task", out, workers)


def finish(out, workers, start=start):
    assert start(out, workers).wait(300) == 0, (out / "ranks.log").read_text()[-3000:]
    last = Checkpoints(planned_store(out)).load()
    assert last.progress.finished
    return last


def without_times(history):
    return [{k: v for k, v in entry.items() if k not in ("seconds", "images_per_second")} for entry in history]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="plain"),
        pytest.param(OPTIONS, id="options"),
        pytest.param(
            TIMM, id="timm", marks=pytest.mark.skipif(not timm_is_installed(), reason="timm is not installed")
        ),
    ],
)
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_killed_training_goes_on_to_the_very_same_weights(data, scores, tmp_path, workers, options):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    if options:
        options = (*options, f"train.soft_labels={scores}", "train.soft_labels_lambda=0.3")
    planned(data, whole, f"train.workers={workers}", *options)
    expected = finish(whole, workers)
    planned(data, killed, f"train.workers={workers}", *options)
    process = start(killed, workers)
    wait_for_step(killed, 2, process, killed / "ranks.log")  # in the middle of the first epoch
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not Checkpoints(planned_store(killed)).load().progress.finished
    found = finish(killed, workers)
    assert without_times(found.progress.history) == without_times(expected.progress.history)
    assert bool(expected.average) is bool(options)
    for part in ("network", "optimizer", "average"):
        ours, theirs = getattr(found, part), getattr(expected, part)
        assert ours.keys() == theirs.keys()
        different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
        assert different == []


def by_torchrun(out, workers):
    return start_by_torchrun("cxr_spark.training.rank.task", out, workers)


def test_another_seed_gives_other_weights_and_torchrun_gives_the_same(data, tmp_path):
    results = []
    for name, seed, start_them in (("one", 1, start), ("other", 2, start), ("torchrun", 1, by_torchrun)):
        out = tmp_path / name
        planned(data, out, f"train.seed={seed}", "train.epochs=1", "train.workers=2")
        results.append(finish(out, 2, start_them).network)
    assert all(torch.equal(results[0][name], results[2][name]) for name in results[0])
    assert any(not torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_the_command_writes_all_that_it_promises_and_leaves_finished_work_alone(data, tmp_path, capsys, spark):
    out = tmp_path / "run"
    assert train(data, out, "--set", "train.epochs=2", "--workers", "2") == 0
    history = json.loads((out / "history.json").read_text())
    assert [entry["epoch"] for entry in history] == [1, 2]
    assert set(history[0]) >= {
        "epoch", "train_loss", "val_loss", "val_macro_auc", "learning_rate", "images_per_second", "seconds",
    }  # fmt: skip
    metadata = json.loads((out / "model" / "metadata.json").read_text())
    assert metadata["findings"] == ["Effusion", "Mass", "No Finding"]
    weights = load_file(out / "model" / "weights.safetensors")
    assert all(torch.isfinite(t).all() for t in weights.values())
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "finished, 2 of 2 epochs done" in (out / "training.html").read_text(encoding="utf-8")
    before = (out / "model" / "weights.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    assert train(data, out, "--set", "train.epochs=2", "--workers", "2") == 0
    assert (out / "model" / "weights.safetensors").stat().st_mtime_ns == before
    assert json.loads(capsys.readouterr().out)["model_id"] == metadata["weights_sha256"]
    assert train(data, out, "--set", "train.epochs=2", "--workers", "2", "--set", "train.seed=7") == 2
    assert "--overwrite" in capsys.readouterr().err


def test_the_validation_auc_is_that_of_the_scores(data, tmp_path, spark):
    out = tmp_path / "run"
    assert train(data, out, "--set", "train.epochs=1", "--set", "train.ema_decay=0.5") == 0
    options = ["--data", str(data), "--model", str(out / "model"), "--out", str(tmp_path / "scores")]
    assert main(["score", *options, "--split", "val"]) == 0
    rows = pd.read_parquet(tmp_path / "scores")
    assert set(rows["precision"]) == {"fp32"}
    labels, found = np.stack(rows["labels"]), np.stack(rows["probabilities"])
    known = ~np.isnan(labels)
    aucs = [roc_auc_score(labels[known[:, k], k], found[known[:, k], k]) for k in range(3)]
    (epoch,) = json.loads((out / "history.json").read_text())
    assert epoch["val_macro_auc"] == pytest.approx(np.mean(aucs), abs=1e-6)


def test_a_loss_that_is_not_finite_ends_the_run_at_once(data, tmp_path, capfd, spark):
    assert train(data, tmp_path / "run", "--set", "train.optimizer=sgd", "--set", "train.learning_rate=1e30") == 4
    error = [line for line in capfd.readouterr().err.splitlines() if line.startswith("cxr-spark train:")]
    assert len(error) == 1
    assert "not finite" in error[0]
    assert "train.learning_rate" in error[0]


@pytest.mark.parametrize(
    ("overrides", "error", "match"),
    [
        (
            ("train.augmentations=[{random_crop: {size: 48}}]",),
            ConfigError,
            "cannot crop 48 x 48 out of images",
        ),
        (("model.input_size=16",), ConfigError, "too small"),
        (("train.global_batch=1",), ConfigError, "one image a step.*train.global_batch be 2 or more"),
        (("train.global_batch=3", "train.workers=3"), ConfigError, "one image a step.*global_batch be 6 or more"),
        (
            ("train.global_batch=4", "train.accumulate=4"),
            ConfigError,
            "accumulate=4 gives .*global_batch be 8 or more",
        ),
        (("model.freeze={until: no_such_layer}",), ConfigError, "no_such_layer"),
        (("train.workers=60", "train.global_batch=60"), DataError, "fewer than the 60 workers"),
        (("model.weights=/no/such/file.safetensors",), ConfigError, "no such file"),
        (("train.augmentations=[random_flop]",), ConfigError, "random_flop"),
    ],
)
def test_what_cannot_work_is_refused_before_any_rank_starts(data, tmp_path, overrides, error, match):
    with pytest.raises(error, match=match):
        planned(data, tmp_path / "run", *overrides)


def test_frozen_layers_that_nothing_ever_trained_are_told(data, tmp_path, caplog):
    planned(data, tmp_path / "told", "model.freeze=backbone")
    assert "model.weights=random leaves them untrained" in caplog.text
    caplog.clear()
    planned(data, tmp_path / "all", "model.freeze=none")
    assert "leaves them untrained" not in caplog.text


def test_checkpoints_of_other_settings_are_refused(data, tmp_path):
    planned(data, tmp_path / "run")
    with pytest.raises(ConfigError, match="checkpoints of other settings"):
        planned(data, tmp_path / "run", "train.learning_rate=0.5")


def test_an_empty_training_split_is_refused(tmp_path):
    empty = write_prepared(tmp_path / "empty", {"train": 0, "val": 3})
    with pytest.raises(DataError, match="has 0 images"):
        planned(empty, tmp_path / "run")
