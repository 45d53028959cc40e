"""Keras files: ours computes what Keras would, by an independent forward pass over Keras's own layer graph."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from cxr_spark.errors import CxrError, DataError, UsageError
from cxr_spark.models.architectures import build
from cxr_spark.models.importers import import_weights
from cxr_spark.models.importers.keras import from_keras
from cxr_spark.models.importers.keras_model import KerasModel, read_config
from cxr_spark.models.initial_weights import load_initial_weights
from cxr_spark.models.weights import Weights
from tests.support import keras_reference as keras

MEAN_BGR = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
#: torchvision's and Keras's "torch" preprocessing, R, G, B.
MEAN_RGB = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD_RGB = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
ROLES = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")


def write_h5(path: Path, layers, arrays, *, config: bool, keras1: bool = False) -> Path:
    """Writes the layout of Keras 2's save_weights (or, with config, model.save)."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if config else file
        root.attrs["layer_names"] = np.array([layer["name"].encode() for layer in layers])
        for layer in layers:
            name = layer["name"]
            group = root.create_group(name)
            names = []
            for role in ROLES:
                if role not in arrays.get(name, {}):
                    continue
                old = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}
                weight = f"{name}_{old.get(role, role)}:0" if keras1 else f"{name}/{role}:0"
                group.create_dataset(weight, data=arrays[name][role])
                names.append(weight.encode())
            group.attrs["weight_names"] = np.array(names) if names else np.empty(0, "S1")
        if config:
            file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": {"layers": layers}})
    return path


def in_memory(layers, arrays) -> KerasModel:
    """What reading a file gives, without the time that writing one takes."""
    config = read_config({"config": {"layers": layers}}, "m.h5")
    return KerasModel(what="m.h5", kind="keras_h5", sha256="", layers=arrays, config=config)


def network(weights):
    header = weights.header
    module = build(header.architecture, header.n_outputs, batch_norm_epsilon=header.batch_norm_epsilon)
    module.load_state_dict(weights.tensors)
    return module.eval()


def pixels(n: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (n, 3, side, side), generator=generator).float()


def relative_difference(ours: torch.Tensor, truth: torch.Tensor) -> float:
    return float((ours - truth).abs().max() / truth.std())


@pytest.mark.parametrize(("caffe_names", "config"), [(True, False), (False, False), (False, True)])
@torch.inference_mode()
def test_resnet50_of_both_namings(tmp_path, caffe_names, config):
    layers = keras.resnet50(caffe_names=caffe_names)
    arrays = keras.random_arrays(layers, seed=1)
    path = write_h5(tmp_path / "r.h5", layers, arrays, config=config)
    weights = import_weights(path.as_uri(), "resnet50_v1")
    # A file of weights alone does not hold the epsilon: it is known by the naming.
    assert weights.header.batch_norm_epsilon == (1e-3 if caffe_names else 1.001e-5)
    assert weights.header.source_kind == "keras_h5"
    bgr = pixels(2, 64).flip(1) - MEAN_BGR
    assert relative_difference(network(weights)(bgr), keras.logits(layers, arrays, bgr)) < 1e-4


@torch.inference_mode()
def test_names_of_keras_1_and_epsilon_of_the_configuration(tmp_path):
    layers = keras.resnet50(caffe_names=True, classes=7)
    arrays = keras.random_arrays(layers, seed=2)
    path = write_h5(tmp_path / "r.h5", layers, arrays, config=False, keras1=True)
    bgr = pixels(1, 64) - MEAN_BGR
    assert (
        relative_difference(
            network(import_weights(path.as_uri(), "resnet50_v1"))(bgr), keras.logits(layers, arrays, bgr)
        )
        < 1e-4
    )

    layers = keras.resnet50(caffe_names=True, epsilon=0.05)
    weights = from_keras(in_memory(layers, arrays), "resnet50_v1")
    assert weights.header.batch_norm_epsilon == 0.05
    assert relative_difference(network(weights)(bgr), keras.logits(layers, arrays, bgr)) < 1e-4


@torch.inference_mode()
def test_densenet121_trained_on_normalised_rgb(tmp_path):
    layers = keras.densenet121()
    arrays = keras.random_arrays(layers, seed=3)
    path = write_h5(tmp_path / "d.h5", layers, arrays, config=False)
    weights = import_weights(path.as_uri(), "densenet121")
    assert weights.header.n_outputs == 14
    rgb = pixels(2, 64)
    ours = network(weights)(rgb.flip(1) - MEAN_BGR)
    truth = keras.logits(layers, arrays, (rgb / 255 - MEAN_RGB) / STD_RGB)
    # Not equal: the padding of the first convolution stands for another grey value (see test_fold.py).
    assert relative_difference(ours, truth) < 0.02


@torch.inference_mode()
def test_vgg16_with_its_flattened_dense_layer():
    layers = keras.vgg16()
    arrays = keras.random_arrays(layers, seed=4)
    weights = from_keras(in_memory(layers, arrays), "vgg16")
    assert weights.header.batch_norm_epsilon is None
    bgr = pixels(1, 224).flip(1) - MEAN_BGR
    assert relative_difference(network(weights)(bgr), keras.logits(layers, arrays, bgr)) < 1e-4


def test_a_model_without_top_trains_with_a_new_head():
    layers = [layer for layer in keras.resnet50(caffe_names=False) if layer["class_name"] != "Dense"]
    weights = from_keras(in_memory(layers, keras.random_arrays(layers, seed=1)), "resnet50_v1")
    assert weights.header.n_outputs == 0
    weights = Weights.from_bytes(weights.to_bytes(), "again")
    module = build("resnet50_v1", 3, batch_norm_epsilon=weights.header.batch_norm_epsilon, seed=8)
    head = module.fc.output.weight.detach().clone()
    assert not load_initial_weights(module, weights)
    assert torch.equal(module.layer4[2].conv3.weight, weights.tensors["layer4.2.conv3.weight"])
    assert torch.equal(module.fc.output.weight, head)


@pytest.fixture(scope="module")
def resnet() -> tuple:
    layers = keras.resnet50(caffe_names=False)
    return layers, keras.random_arrays(layers, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("conv3_block2_2_bn"), "conv3_block2_2_bn"),
        (lambda a: a["conv3_block2_2_bn"].pop("gamma"), "conv3_block2_2_bn.*no gamma"),
        (lambda a: a["conv2_block1_1_conv"].update(kernel=np.zeros((3, 3, 64, 64), np.float32)), r"layer1\.0\.conv1"),
        (lambda a: a["conv2_block1_1_conv"].update(kernel=np.zeros((64, 64), np.float32)), "expected 4 axes"),
        (lambda a: a["conv1_conv"]["bias"].__setitem__(3, np.nan), "conv1_conv/bias has 1 of 64"),
        (lambda a: a["conv1_bn"]["moving_variance"].__setitem__(3, -1), "negative variance"),
        (lambda a: a["conv1_conv"].update(bias=np.zeros(3, np.float32)), "conv1_conv has 3 biases"),
    ],
)
def test_damaged_arrays_are_named(resnet, change, message):
    layers, arrays = resnet
    arrays = {name: {role: a.copy() for role, a in roles.items()} for name, roles in arrays.items()}
    change(arrays)
    with pytest.raises(DataError, match=message):
        from_keras(in_memory(layers, arrays), "resnet50_v1")


def test_other_networks_are_refused(tmp_path, resnet):
    layers, arrays = resnet
    path = write_h5(tmp_path / "r.h5", layers, arrays, config=True)
    with pytest.raises(UsageError, match="resnet50_v1"):
        import_weights(path.as_uri(), "resnet50")
    with pytest.raises(DataError, match=r"not Keras's densenet121: it lacks layer 'conv2_block2_0_bn'"):
        import_weights(path.as_uri(), "densenet121")
    # Same weights, strides elsewhere: nothing but the configuration tells.
    moved = json.loads(json.dumps(layers))
    for layer in moved:
        if re.fullmatch(r"conv\d_block1_[12]_conv", layer["name"]):
            layer["config"]["strides"] = [1, 1] if "_1_" in layer["name"] else [2, 2]
    with pytest.raises(DataError, match="strides"):
        from_keras(in_memory(moved, arrays), "resnet50_v1")


def test_files_that_are_not_keras(tmp_path, resnet):
    layers, arrays = resnet
    path = write_h5(tmp_path / "r.h5", layers, arrays, config=False)
    data = path.read_bytes()
    for cut in (len(data) // 2, len(data) - 100, 600):
        (tmp_path / "cut.h5").write_bytes(data[:cut])
        with pytest.raises(CxrError, match=r"cut\.h5"):
            import_weights((tmp_path / "cut.h5").as_uri(), "resnet50_v1")
    with h5py.File(path, "a") as file:
        del file["conv1_bn/conv1_bn/gamma:0"]
        file["conv1_bn/conv1_bn/gamma:0"] = np.ones(64, np.int32)
    with pytest.raises(DataError, match="conv1_bn/gamma:0 is not an array of floating-point"):
        import_weights(path.as_uri(), "resnet50_v1")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_dataset("x", data=[1.0])
    with pytest.raises(DataError, match="no Keras layer names"):
        import_weights((tmp_path / "other.h5").as_uri(), "resnet50_v1")


def test_hdf5_cannot_point_at_other_files_or_promise_any_size(tmp_path, resnet):
    layers, arrays = resnet
    kernel = arrays["conv1_conv"]["kernel"]
    (tmp_path / "secret").write_bytes(kernel.tobytes())
    path = write_h5(tmp_path / "link.h5", layers, arrays, config=False)
    with h5py.File(path, "a") as file:
        del file["conv1_conv/conv1_conv/kernel:0"]
        where = [(str(tmp_path / "secret"), 0, kernel.nbytes)]
        file["conv1_conv/conv1_conv"].create_dataset("kernel:0", kernel.shape, np.float32, external=where)
    with pytest.raises(DataError, match="in another one"):
        import_weights(path.as_uri(), "resnet50_v1")
    with h5py.File(path, "a") as file:
        del file["conv1_conv/conv1_conv/kernel:0"]
        file["conv1_conv/conv1_conv"].create_dataset("kernel:0", (1 << 40,), np.float32, chunks=(1 << 10,))
    with pytest.raises(DataError, match="values"):
        import_weights(path.as_uri(), "resnet50_v1")
