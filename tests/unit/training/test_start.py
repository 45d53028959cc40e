"""What is said of prepared data before a training starts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cxr_spark.config import load_settings
from cxr_spark.training.start import _check_images, fingerprint

#: The settings in the fingerprint of a training that version 0.1 began, by group.
MODEL = {"architecture", "dropout", "freeze", "hidden", "input_size", "task", "weights"}
TRAIN = {
    *("augmentations", "backend", "balancing", "bigdl_engine", "class_weights", "early_stop", "epochs", "final_model"),
    *("global_batch", "head_weight_decay", "learning_rate", "momentum", "optimizer", "precision", "schedule", "seed"),
    *("threads_per_worker", "weight_decay", "workers"),
}


def dataset(findings, may_share_patients=False):
    manifest = {"splits": {"train": {"images": 4, "findings": findings}, "val": {"images": 1}}}
    return SimpleNamespace(
        images=lambda split: manifest["splits"][split]["images"],
        files=lambda split: [],
        manifest=manifest,
        may_share_patients=may_share_patients,
    )


def test_findings_without_training_images_are_named(caplog: pytest.LogCaptureFixture) -> None:
    _check_images(dataset({"A": 4, "B": 0, "C": 0}), 1)
    assert "2 findings have no training image" in caplog.text
    assert "B, C" in caplog.text
    caplog.clear()
    _check_images(dataset({"A": 4, "B": 1}), 1)
    assert caplog.text == ""
    _check_images(dataset({"A": 4, "B": 1}, may_share_patients=True), 1)
    assert "SPLITS MAY SHARE PATIENTS" in caplog.text


def test_a_training_of_version_0_1_goes_on_where_new_settings_are_at_their_defaults() -> None:
    data = SimpleNamespace(store=SimpleNamespace(uri="file:///data"), manifest={})
    new = {"loss", "focal_gamma", "asymmetric", "label_smoothing", "clip_norm", "ema_decay", "accumulate"}
    new |= {"layer_decay", "mixup", "soft_labels", "soft_labels_lambda"}
    begun = fingerprint(load_settings(None), data)
    assert {name: set(begun[name]) for name in ("model", "train")} == {"model": MODEL, "train": TRAIN}
    assert fingerprint(load_settings(None, ["model.stochastic_depth=0"]), data)["model"]["stochastic_depth"] == 0
    changed = fingerprint(load_settings(None, ["train.clip_norm=1", "train.epochs=3"]), data)["train"]
    assert new & changed.keys() == {"clip_norm"}
    assert (changed["clip_norm"], changed["epochs"]) == (1, 3)
