"""TensorFlow.js models: read as written, and refused where anything is off."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from cxr_spark.errors import DataError
from cxr_spark.models.architectures import build
from cxr_spark.models.importers import import_weights
from tests.support import keras_reference as keras

MEAN_BGR = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)


def write_tfjs(folder, layers, arrays, shards: int = 3):
    entries, data = [], b""
    for layer, roles in sorted(arrays.items()):
        for role, array in roles.items():
            entries.append({"name": f"{layer}/{role}", "shape": list(array.shape), "dtype": "float32"})
            data += array.tobytes()
    paths = [f"group1-shard{i + 1}of{shards}.bin" for i in range(shards)]
    cut = len(data) // shards + 1
    for i, path in enumerate(paths):
        (folder / path).write_bytes(data[i * cut : (i + 1) * cut])
    root = {
        "format": "layers-model",
        "modelTopology": {"model_config": {"class_name": "Model", "config": {"name": "m", "layers": layers}}},
        "weightsManifest": [{"paths": paths, "weights": entries}],
    }
    (folder / "model.json").write_text(json.dumps(root))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfjs")
    layers = keras.resnet50(caffe_names=True, classes=5, epsilon=2e-3)
    arrays = keras.random_arrays(layers, seed=1)
    return folder, write_tfjs(folder, layers, arrays), layers, arrays


@torch.inference_mode()
def test_equals_the_original(model):
    folder, _, layers, arrays = model
    weights = import_weights((folder / "model.json").as_uri(), "resnet50_v1")
    assert (weights.header.batch_norm_epsilon, weights.header.source_kind) == (2e-3, "tfjs")
    network = build("resnet50_v1", 5, batch_norm_epsilon=2e-3)
    network.load_state_dict(weights.tensors)
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)) - MEAN_BGR
    truth = keras.logits(layers, arrays, images)
    assert float((network.eval()(images) - truth).abs().max() / truth.std()) < 1e-4


def test_the_recorded_hash_covers_the_shards(model):
    folder, *_ = model
    before = import_weights((folder / "model.json").as_uri(), "resnet50_v1")
    shard = folder / "group1-shard2of3.bin"
    original = shard.read_bytes()
    shard.write_bytes(original[:-4] + np.float32(0.25).tobytes())
    after = import_weights((folder / "model.json").as_uri(), "resnet50_v1")
    shard.write_bytes(original)
    assert before.header.source_sha256 != after.header.source_sha256


def edit(root, **changes):
    return {**root, **changes}


def group(root, **changes):
    return edit(root, weightsManifest=[{**root["weightsManifest"][0], **changes}])


def entry(root, **changes):
    weights = [dict(w) for w in root["weightsManifest"][0]["weights"]]
    weights[7].update(changes)
    return group(root, weights=weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: group(r, paths=["../../etc/passwd"]), "names the shard '../../etc/passwd'"),
        (lambda r: group(r, paths=["/etc/passwd"]), "names the shard '/etc/passwd'"),
        (lambda r: group(r, paths=["http://host/x"]), "names the shard 'http://host/x'"),
        (lambda r: group(r, paths=[".."]), r"names the shard '\.\.'"),
        (lambda r: group(r, paths=[5]), "names the shard 5"),
        (lambda r: group(r, paths=["absent.bin"]), "'absent.bin', which is not beside it"),
        (lambda r: group(r, paths=r["weightsManifest"][0]["paths"][:2]), "a shard is cut off"),
        (lambda r: group(r, paths="group1"), "lacks its lists"),
        (lambda r: edit(r, weightsManifest=[7]), "lacks its lists"),
        (lambda r: edit(r, weightsManifest=[]), "no weightsManifest"),
        (lambda r: edit(r, format="graph-model"), "'graph-model'"),
        (lambda r: edit(r, modelTopology=None), "configuration is NoneType"),
        (lambda r: edit(r, modelTopology={"model_config": {"config": {"layers": [3]}}}), "configuration is damaged"),
        (lambda r: entry(r, dtype="uint8"), "not float32"),
        (lambda r: entry(r, quantization={"scale": 1, "min": 0, "dtype": "uint8"}), "quantised"),
        (lambda r: entry(r, shape=[-1]), r"shape \[-1\]"),
        (lambda r: entry(r, shape=[True]), r"shape \[True\]"),
        (lambda r: entry(r, shape=[2**30, 2**30, 2**30]), "a shard is cut off"),
        (lambda r: entry(r, name=None), "has no name"),
        (lambda r: entry(r, name="conv1/secret"), "'conv1/secret' is neither"),
        (lambda r: [r], "no weightsManifest"),
    ],
)
def test_hostile_manifests_are_refused(model, change, message):
    folder, root, *_ = model
    (folder / "bad.json").write_text(json.dumps(change(root)) if not isinstance(change(root), list) else '{"a": [1]}')
    with pytest.raises(DataError, match=message):
        import_weights((folder / "bad.json").as_uri(), "resnet50_v1")


def test_epsilons_must_agree(model):
    folder, root, *_ = model
    text = json.dumps(root)
    (folder / "bad.json").write_text(text.replace('"epsilon": 0.002', '"epsilon": 0.003', 1))
    with pytest.raises(DataError, match=r"epsilon 0\.003.*0\.002"):
        import_weights((folder / "bad.json").as_uri(), "resnet50_v1")
    (folder / "bad.json").write_text(text.replace('"epsilon": 0.002', '"epsilon": -1'))
    with pytest.raises(DataError, match="epsilon -1"):
        import_weights((folder / "bad.json").as_uri(), "resnet50_v1")


def test_shard_that_is_cut_off_and_json_that_is_not(model):
    folder, *_ = model
    shard = folder / "group1-shard3of3.bin"
    original = shard.read_bytes()
    shard.write_bytes(original[:-1])
    with pytest.raises(DataError, match="a shard is cut off"):
        import_weights((folder / "model.json").as_uri(), "resnet50_v1")
    shard.write_bytes(original)
    for text in ('{"weightsManifest": ', '{"a":' * 100_000):
        (folder / "bad.json").write_text(text)
        with pytest.raises(DataError, match="is not JSON"):
            import_weights((folder / "bad.json").as_uri(), "resnet50_v1")
