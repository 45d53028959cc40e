"""Probabilities of batches: the same as by hand, in any batch size, for images of any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from cxr_spark.errors import DataError, RunError
from cxr_spark.models.device import Compute
from cxr_spark.models.folder import load_model
from cxr_spark.scoring.inputs import network_input
from cxr_spark.scoring.predict import predict
from cxr_spark.scoring.shipped import BytesFolder, ShippedModel
from cxr_spark.storage.store import Store
from tests.support.small_model import write_model

FP32 = Compute(torch.device("cpu"), bf16=False)


def images(n: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder


@pytest.fixture
def model(folder):
    return load_model(Store(str(folder)))


@torch.inference_mode()
def by_hand(module, pixels: np.ndarray) -> np.ndarray:
    bgr = np.stack([pixels - 103.939, pixels - 116.779, pixels - 123.68], axis=1).astype(np.float32)
    return (1 / (1 + torch.exp(-module(torch.from_numpy(bgr))))).numpy()


def test_equals_the_computation_by_hand(model):
    pixels = images(5, 32)
    result = predict(model.module, model.metadata, pixels, compute=FP32)
    assert (result.dtype, result.shape) == (np.float32, (5, 3))
    np.testing.assert_allclose(result, by_hand(model.module, pixels), atol=2e-5)
    assert len(np.unique(result[:, 0])) == 5


def test_the_size_of_batches_does_not_matter(model):
    pixels = images(7, 32)
    whole = predict(model.module, model.metadata, pixels, compute=FP32, batch=7)
    np.testing.assert_allclose(predict(model.module, model.metadata, pixels, compute=FP32, batch=2), whole, atol=2e-5)
    assert predict(model.module, model.metadata, pixels[:0], compute=FP32).shape == (0, 3)


def test_half_precision_is_close(model):
    pixels = images(4, 32)
    bf16 = predict(model.module, model.metadata, pixels, compute=Compute(torch.device("cpu"), bf16=True))
    fp32 = predict(model.module, model.metadata, pixels, compute=FP32)
    assert 0 < np.abs(bf16 - fp32).max() < 0.1


def test_sizes_other_than_the_network_s(tmp_path):
    pixels = images(2, 50)
    area = [cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA) for image in pixels]
    whole = write_model(tmp_path / "a", input_size=32, stored_size=48).preprocessing
    np.testing.assert_array_equal(network_input(pixels, whole), np.stack(area))
    middle = write_model(tmp_path / "b", input_size=32, stored_size=50, crop=True).preprocessing
    np.testing.assert_array_equal(network_input(pixels, middle), pixels[:, 9:41, 9:41])


@pytest.mark.parametrize(
    "pixels", [images(2, 32).astype(np.float32), images(2, 32)[0], images(2, 32)[:, :20], images(8, 32)[None]]
)
def test_other_arrays_are_refused(model, pixels):
    with pytest.raises(DataError, match=r"uint8 \(N, S, S\)"):
        predict(model.module, model.metadata, pixels, compute=FP32)


def test_probabilities_that_are_no_numbers(model):
    with torch.no_grad():
        model.module.classifier[1].output.bias[1] = float("nan")
    with pytest.raises(RunError, match="not numbers"):
        predict(model.module, model.metadata, images(1, 32), compute=FP32)


def test_a_worker_loads_a_model_once(tmp_path):
    first = write_model(tmp_path / "a")
    second = write_model(tmp_path / "b", seed=4)
    a, b = (ShippedModel(f"file://{tmp_path}/{name}", m) for m, name in ((first, "a"), (second, "b")))
    ready = a.on_worker(threads=1)
    assert a.on_worker(threads=1) is ready
    assert ShippedModel(a.uri, a.metadata).on_worker(threads=1) is ready
    assert b.on_worker(threads=1).metadata.model_id == second.model_id


def test_a_model_in_memory_is_checked_like_one_on_disk(tmp_path):
    metadata = write_model(tmp_path / "a")
    files = {name: (tmp_path / "a" / name).read_bytes() for name in ("metadata.json", "weights.safetensors")}
    assert load_model(BytesFolder("file:///a", files)).metadata == metadata
    files["weights.safetensors"] = files["weights.safetensors"][:-1] + b"x"
    with pytest.raises(DataError, match=r"file:///a/weights\.safetensors has SHA-256"):
        load_model(BytesFolder("file:///a", files))
