"""Number formats of scores: float32 unless another is asked for, and the same numbers as the validation's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cxr_spark.models.device import choose_to_score
from cxr_spark.models.folder import load_model
from cxr_spark.scoring.engine import Engine
from cxr_spark.scoring.ready import ReadyModel
from cxr_spark.scoring.shipped import ShippedModel
from cxr_spark.storage.store import Store
from cxr_spark.training.rank.validation import predict_logits
from tests.support.small_model import write_model

PIXELS = np.random.default_rng(5).integers(0, 256, (40, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, architecture="resnet50")
    return folder


def ready(folder: Path, engine: Engine) -> ReadyModel:
    metadata = load_model(Store(str(folder))).metadata
    return ShippedModel(f"file://{folder}", metadata, engine=engine).on_worker(1)


@pytest.mark.parametrize("hardware", [True, False])
def test_by_itself_every_machine_computes_in_float32(
    folder: Path, hardware: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr_spark.models.device.cpu_has_bf16", lambda: hardware)
    model = ready(folder, Engine())
    assert model.engine == Engine("torch", "fp32")
    plain = load_model(Store(str(folder))).module
    bgr = np.stack([PIXELS - mean for mean in (103.939, 116.779, 123.68)], axis=1).astype(np.float32)
    with torch.inference_mode():
        expected = torch.sigmoid(plain(torch.from_numpy(bgr))).numpy()
    off = np.abs(model.predict(PIXELS, 16) - expected).max()
    assert off < 5e-4
    half = ready(folder, Engine("torch", "bf16"))
    assert half.engine == Engine("torch", "bf16")
    assert np.abs(half.predict(PIXELS, 16) - expected).max() > 10 * off


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_the_validation_gives_the_numbers_of_the_score_job(
    folder: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr_spark.models.device.cpu_has_bf16", lambda: True)
    module = load_model(Store(str(folder))).module.train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    logits = predict_logits(module, PIXELS, choose_to_score(precision), [], 16, 3)  # type: ignore[arg-type]
    validated = torch.sigmoid(torch.from_numpy(logits)).numpy()
    scored = ready(folder, Engine("torch", "bf16" if precision == "bf16" else "fp32")).predict(PIXELS, 16)
    np.testing.assert_allclose(validated, scored, atol=1e-6)
    labels = np.random.default_rng(6).random((len(PIXELS), 3)) < 0.3
    for k in range(3):
        of_both = [roc_auc_score(labels[:, k], found[:, k]) for found in (validated, scored)]
        assert abs(of_both[0] - of_both[1]) <= 1e-6
    assert module.training  # the network that trains on is as it was
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
