"""The genuine ImageNet ResNet-50: ours equals an independent forward pass over the original's arrays and graph."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import sklearn
import torch
from PIL import Image, ImageOps

from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.imaging.prepare import prepare_image
from cxr_spark.models.architectures import build
from cxr_spark.models.initial_weights import read_weights
from tests.support import keras_reference as keras


@pytest.fixture(scope="module")
def network(imagenet_weights: Path) -> torch.nn.Module:
    weights = read_weights(f"file://{imagenet_weights}")
    assert (weights.header.n_outputs, weights.header.batch_norm_epsilon) == (1000, 1e-3)
    module = build("resnet50_v1", 1000, batch_norm_epsilon=weights.header.batch_norm_epsilon)
    module.load_state_dict(weights.tensors)
    return module.eval()


@pytest.fixture(scope="module")
def original(imagenet_tfjs: Path) -> tuple:
    """Layers of model.json and raw arrays of the shards, read by nothing of the package."""
    root = json.loads(imagenet_tfjs.read_text())
    (group,) = root["weightsManifest"]
    data = b"".join((imagenet_tfjs.parent / path).read_bytes() for path in group["paths"])
    arrays: keras.Arrays = {}
    position = 0
    for entry in group["weights"]:
        count = int(np.prod(entry["shape"]))
        layer, role = entry["name"].split("/")
        values = np.frombuffer(data, np.float32, count, position).reshape(entry["shape"])
        arrays.setdefault(layer, {})[role] = values
        position += 4 * count
    assert position == len(data)
    assert sum(a.size for roles in arrays.values() for a in roles.values()) == 25_636_712
    return root["modelTopology"]["model_config"]["config"]["layers"], arrays


def photographs() -> dict[int, torch.Tensor]:
    """Photographs that packages bring along, as RGB 3x224x224, by the ImageNet class of what they show."""
    samples = Path(matplotlib.get_data_path(), "sample_data")
    flowers = Path(sklearn.__file__).parent / "datasets" / "images"
    paths = {
        652: samples / "grace_hopper.jpg",  # military uniform
        698: flowers / "china.jpg",  # palace
        985: flowers / "flower.jpg",  # a dahlia: daisy is the nearest of the 1000 classes
    }
    found = {}
    for number, path in paths.items():
        image = Image.open(path).convert("RGB")
        square = ImageOps.fit(image, (224, 224), Image.Resampling.BILINEAR)
        found[number] = torch.from_numpy(np.array(square)).permute(2, 0, 1)
    return found


@torch.inference_mode()
def test_equals_the_original_on_radiographs(network, original, real_data):
    files = sorted((real_data / "images_1024").rglob("*.png"))[:4]
    pixels = np.stack([prepare_image(path.read_bytes(), 224).pixels for path in files])
    images = imagenet_bgr(torch.from_numpy(pixels))
    truth = keras.logits(*original, images)
    ours = network(images)
    assert float((ours.softmax(1) - truth.softmax(1)).abs().max()) <= 1e-4
    assert float((ours - truth).abs().max()) <= 1e-4


@torch.inference_mode()
def test_names_what_is_on_photographs(network, original):
    photos = photographs()
    images = imagenet_bgr(torch.stack(list(photos.values())))
    ours = network(images)
    assert float((ours.softmax(1) - keras.logits(*original, images).softmax(1)).abs().max()) <= 1e-4
    assert all(number in best for number, best in zip(photos, ours.topk(5).indices.tolist(), strict=True))
    assert int(ours[0].argmax()) == 652
    # The test can tell a wrong preprocessing: with red and blue exchanged the scores are others.
    assert float((network(images.flip(1)).softmax(1) - ours.softmax(1)).abs().max()) > 0.01
