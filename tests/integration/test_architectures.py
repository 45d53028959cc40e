"""Networks that are built otherwise than the rest, from training to pictures: Inception without its auxiliary heads
(which torchvision adds in training), ConvNeXt with its channels last."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torchvision import models

from cxr_spark.commands.main import main
from cxr_spark.models.architectures import build
from cxr_spark.models.names import timm_is_installed
from tests.support.prepared_sets import write_prepared

NEEDS_TIMM = pytest.mark.skipif(not timm_is_installed(), reason="timm is not installed")
#: Name, side of the input, and an inner layer.
NETWORKS = [
    ("googlenet", 64, "inception4a.branch3"),
    ("inception_v3", 80, "Mixed_5b.branch5x5_2"),
    ("convnext_tiny", 64, "features.5.2.block.4"),
    pytest.param("timm/resnet10t", 64, "layer2.0.conv1", marks=NEEDS_TIMM),
    pytest.param("timm/test_vit", 64, "patch_embed.proj", marks=NEEDS_TIMM),
]


@pytest.mark.parametrize(("name", "theirs"), [("googlenet", models.googlenet), ("inception_v3", models.inception_v3)])
def test_inception_is_torchvisions_without_auxiliary_heads(name: str, theirs) -> None:
    whole = theirs(init_weights=False, aux_logits=True, transform_input=False, num_classes=4)
    kept = {key: value for key, value in whole.state_dict().items() if not key.lower().startswith("aux")}
    ours = build(name, 4)
    renamed = {key.replace("fc.", "fc.output."): value for key, value in kept.items()}
    ours.load_state_dict(renamed)
    images = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(images), whole.eval()(images), rtol=1e-5, atol=1e-5)
    assert len(renamed) < len(whole.state_dict())


@pytest.mark.parametrize(("name", "side", "layer"), NETWORKS)
def test_train_score_explain(spark, tmp_path: Path, name: str, side: int, layer: str) -> None:
    data = write_prepared(tmp_path / "data", {"train": 12, "val": 6, "test": 5}, size=side)
    settings = [f"model.architecture={name}", f"model.input_size={side}", "train.epochs=1", "train.global_batch=6"]
    train = ["train", "--data", str(data), "--out", str(tmp_path / "run"), *(f"--set={s}" for s in settings)]
    assert main(train) == 0
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert np.isfinite(history[0]["train_loss"])
    model = ["--data", str(data), "--model", str(tmp_path / "run" / "model")]
    assert main(["score", *model, "--out", str(tmp_path / "scores")]) == 0
    scores = pq.read_table(tmp_path / "scores")
    assert scores.num_rows == 5
    assert np.isfinite(np.stack(scores["probabilities"].to_numpy())).all()
    assert main(["explain", *model, "--out", str(tmp_path / "explained"), f"--layers={layer}"]) == 0
    assert len(list((tmp_path / "explained").glob("*.png"))) == 5
    assert len(list((tmp_path / "explained" / "layers" / layer).glob("*.png"))) == 5
