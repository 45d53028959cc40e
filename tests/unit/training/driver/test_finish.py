"""What of the checkpoints becomes the model."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file

from cxr_spark.config import ModelSettings, TrainSettings
from cxr_spark.models.architectures import build
from cxr_spark.training.checkpoints import Checkpoint, Checkpoints, Progress
from cxr_spark.training.driver.finish import finish
from tests.support.specifications import specification

ENTRY = {
    "epoch": 1, "train_loss": 0.5, "val_loss": 0.4, "val_macro_auc": 0.7, "val_micro_auc": 0.7, "val_accuracy": 0.8,
    "learning_rate": 1e-3, "images_per_second": 9.0, "seconds": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("averaged", [False, True])
def test_the_average_of_the_weights_becomes_the_model_where_there_is_one(tmp_path, averaged):
    train = TrainSettings(epochs=1, ema_decay=0.9 if averaged else 0.0)
    spec = specification(tmp_path, ModelSettings(architecture="efficientnet_b0"), train)
    network, average = (build("efficientnet_b0", 1, seed=seed).state_dict() for seed in (1, 2))
    progress = Progress(epoch=1, global_step=3, history=(ENTRY,), finished=True)
    state = Checkpoint(progress, network, {}, average if averaged else {})
    Checkpoints(spec.checkpoints).save(state, ("last", "best_auc"))
    finish(spec, {"white_level": 65535, "resize": "squash"})
    found, expected = load_file(tmp_path / "model" / "weights.safetensors"), average if averaged else network
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    told = json.loads((tmp_path / "model" / "metadata.json").read_text())["training"]
    manifest = b'{"resize": "squash", "white_level": 65535}'  # sorted by name
    assert (told["data"], told["data_manifest"]) == ("file:///nowhere", hashlib.sha256(manifest).hexdigest())
