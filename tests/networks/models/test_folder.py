"""Model folders and weights files: what is written comes back, and nothing else does."""

from __future__ import annotations

import hashlib
import json

import pytest
import safetensors
import torch

from cxr_spark.commands.main import main
from cxr_spark.errors import ConfigError, DataError
from cxr_spark.models.architectures import build
from cxr_spark.models.folder import load_model, save_model
from cxr_spark.models.initial_weights import load_initial_weights, resolve_weights
from cxr_spark.models.metadata import BuildArguments, ModelMetadata, Preprocessing
from cxr_spark.models.metadata_file import load_metadata
from cxr_spark.models.weights import Weights, WeightsHeader
from cxr_spark.storage.store import Store
from tests.support.small_model import write_model

FINDINGS = ("Mass", "Nodule", "No Finding")


def metadata(**changes) -> ModelMetadata:
    values = {
        "architecture": "efficientnet_b0",
        "findings": FINDINGS,
        "preprocessing": Preprocessing(input_size=64, stored_size=72, resize="pad"),
        "training": {"train": {"epochs": 3}},
        "metrics": {"val_macro_auc": 0.75},
        "versions": {"torch": torch.__version__},
    }
    return ModelMetadata(**{**values, **changes})


@pytest.fixture
def saved(tmp_path):
    network = build("efficientnet_b0", 3, dropout=0.2, hidden=(4,), batch_norm_epsilon=2e-3, seed=4)
    store = Store(str(tmp_path / "model"))
    written = save_model(store, network, metadata(build=BuildArguments(dropout=0.2, hidden=(4,))))
    return store, network, written


@torch.inference_mode()
def test_what_is_written_comes_back(saved):
    store, network, written = saved
    loaded = load_model(store)
    assert loaded.metadata == written
    assert loaded.metadata.build == BuildArguments(dropout=0.2, hidden=(4,), batch_norm_epsilon=2e-3)
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(loaded.module(images), network.eval()(images))
    assert not any(m.training for m in loaded.module.modules())
    data = store.read_bytes("weights.safetensors")
    assert written.model_id == hashlib.sha256(data).hexdigest()
    assert json.loads(store.read_bytes("metadata.json"))["findings"] == list(FINDINGS)


def test_the_same_weights_always_have_the_same_id(saved, tmp_path):
    store, network, written = saved
    again = save_model(Store(str(tmp_path / "again")), network.to(memory_format=torch.channels_last), written)
    assert again.model_id == written.model_id
    with torch.no_grad():
        next(network.parameters()).mul_(1.001)
    assert save_model(store, network, written).model_id != written.model_id


def test_other_files_in_the_folder_are_left_alone(saved):
    store, network, written = saved
    store.write_bytes("metadata/part-00000", b"Spark ML's own")
    save_model(store, network, written)
    assert store.read_bytes("metadata/part-00000") == b"Spark ML's own"
    load_model(store)


def change_json(store, **changes):
    value = {**store.read_json("metadata.json"), **changes}
    store.write_json("metadata.json", {k: v for k, v in value.items() if v is not ...})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights_sha256": "0" * 64}, "has SHA-256 .* its metadata say 0000"),
        ({"weights_sha256": ""}, "its metadata say nothing"),
        ({"findings": ["Mass"]}, "n_outputs is 3, but there are 1"),
        ({"findings": ["Mass", "Mass", "Nodule"]}, "stands twice"),
        ({"findings": ["A", "B", "C", "D"], "n_outputs": 4}, r"classifier\.1\.output\.\w+ has shape \[3"),
        ({"findings": []}, "findings"),
        ({"architecture": "resnet18"}, "unknown architecture 'resnet18'"),
        ({"architecture": "resnet50"}, "weights of another network"),
        ({"build": {"dropout": 0.2}}, "weights of another network"),
        ({"build": {"dropout": 2}}, "less than 1"),
        ({"preprocessing": ...}, "preprocessing: Field required"),
        ({"preprocessing": {"input_size": 64, "stored_size": 64, "mean_bgr": [0, 0, 0]}}, "mean_bgr"),
        ({"preprocessing": {"input_size": 72, "stored_size": 64, "crop": True}}, "cannot cut 72 pixels out of"),
        ({"preprocessing": {"input_size": 64, "stored_size": 64, "resize": "stretch"}}, "resize"),
        ({"format_version": 2}, "format_version"),
        ({"pickle": "x"}, "pickle"),
    ],
)
def test_metadata_that_cannot_be(saved, changes, message):
    store, *_ = saved
    change_json(store, **changes)
    with pytest.raises(DataError, match=message) as caught:
        load_model(store)
    assert "\n" not in str(caught.value)


def test_damaged_folders(saved, tmp_path):
    store, *_ = saved
    with pytest.raises(DataError, match=r"holds no model: expected metadata\.json"):
        load_model(Store(str(tmp_path / "absent")))
    data = store.read_bytes("weights.safetensors")
    store.write_bytes("weights.safetensors", data[:-1])
    with pytest.raises(DataError, match="has SHA-256"):
        load_model(store)
    store.delete("weights.safetensors")
    with pytest.raises(DataError, match=r"no weights\.safetensors"):
        load_model(store)
    store.write_bytes("metadata.json", b"\x80\x04pickle")
    with pytest.raises(DataError, match="no model's metadata"):
        load_metadata(store)


def test_a_network_that_diverged_is_not_saved(saved):
    store, network, written = saved
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(DataError, match=r"features\.0\.0\.weight has 1 of 864 values that are NaN"):
        save_model(store, network, written)
    load_model(store)  # the one that was there still is


# --- weights as the start of a training -------------------------------------------------------------------------------


def test_a_model_of_the_same_findings_gives_its_head_too(saved):
    store, network, _ = saved
    weights = resolve_weights(store.uri, "efficientnet_b0")
    options = {"hidden": (4,), "batch_norm_epsilon": weights.header.batch_norm_epsilon, "seed": 9}
    same = build("efficientnet_b0", 3, **options)
    assert load_initial_weights(same, weights, findings=FINDINGS)
    assert all(torch.equal(t, same.state_dict()[name]) for name, t in network.state_dict().items())

    for findings, hidden in ((FINDINGS[::-1], (4,)), (None, (4,)), (FINDINGS, (5,))):
        other = build("efficientnet_b0", 3, **{**options, "hidden": hidden})
        head = other.classifier[1].output.weight.detach().clone()
        assert not load_initial_weights(other, weights, findings=findings)
        assert torch.equal(other.classifier[1].output.weight, head)
        assert torch.equal(other.features[0][0].weight, network.features[0][0].weight)


def test_the_epsilon_must_be_that_of_the_weights(saved):
    store, *_ = saved
    weights = resolve_weights(store.uri, "efficientnet_b0")
    with pytest.raises(ConfigError, match=r"batch_norm_epsilon=0\.002"):
        load_initial_weights(build("efficientnet_b0", 3, hidden=(4,)), weights)


def test_weights_files_hold_all_that_is_needed(tmp_path):
    network = build("googlenet", 7, seed=2)
    header = WeightsHeader(
        architecture="googlenet",
        n_outputs=7,
        batch_norm_epsilon=1e-3,
        source="x.pth",
        source_kind="torchvision",
        source_sha256="ab",
    )
    data = Weights(header, network.state_dict()).to_bytes()
    assert data == Weights(header, network.state_dict()).to_bytes()
    (tmp_path / "w.safetensors").write_bytes(data)
    back = resolve_weights(str(tmp_path / "w.safetensors"), "googlenet")
    assert back.header == header
    with safetensors.safe_open(tmp_path / "w.safetensors", "pt") as file:  # by another reader
        assert json.loads(file.metadata()["cxr_spark"])["preprocessing"] == "imagenet_bgr"
        assert torch.equal(file.get_tensor("fc.output.weight"), network.fc.output.weight)
    with pytest.raises(ConfigError, match=r"are of googlenet, but model\.architecture is resnet50"):
        resolve_weights(str(tmp_path / "w.safetensors"), "resnet50")
    with pytest.raises(DataError, match="not a whole safetensors file"):
        Weights.from_bytes(data[:1000], "w")


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("absent.safetensors", None, ConfigError, "no such file"),
        ("absent", None, ConfigError, "no such file or model folder"),
        ("w.pth", b"PK", ConfigError, "import-weights"),
        ("w.safetensors", safetensors.torch.save({"a": torch.zeros(1)}), DataError, "import-weights"),
        ("w.safetensors", b"", DataError, "not a whole safetensors file"),
    ],
)
def test_weights_that_cannot_be_used(tmp_path, name, content, error, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        resolve_weights(str(tmp_path / name), "resnet50")


def test_import_weights_command(tmp_path, capsys):
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    arguments = ["import-weights", str(tmp_path / "a.pth"), "--architecture", "resnet50", "--out"]
    assert main([*arguments, str(tmp_path / "f.safetensors")]) == 3
    assert "cxr-spark import-weights: a.pth has no matrix fc.weight" in capsys.readouterr().err
    assert not (tmp_path / "f.safetensors").exists()
    assert main([*arguments, str(tmp_path / "f.bin")]) == 2

    from torchvision import models

    torch.save(models.efficientnet_b0().state_dict(), tmp_path / "b.pth")
    arguments = ["import-weights", str(tmp_path / "b.pth"), "--architecture", "efficientnet_b0", "--out"]
    out = tmp_path / "f.safetensors"
    assert main([*arguments, str(out)]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert summary["source_sha256"] == hashlib.sha256((tmp_path / "b.pth").read_bytes()).hexdigest()
    assert main([*arguments, str(out)]) == 0  # the same again
    out.write_bytes(b"mine")
    assert main([*arguments, str(out)]) == 2
    assert "differs" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert main([*arguments, str(out), "--overwrite"]) == 0


def test_the_folder_of_a_training_is_answered_with_its_model(tmp_path):
    write_model(tmp_path / "run" / "model")
    with pytest.raises(DataError, match=r"run holds no model: .*; the model of this training is .*run/model"):
        load_metadata(Store(f"file://{tmp_path}/run"))
    with pytest.raises(DataError, match=r"holds no model: expected metadata.json and weights.safetensors in it$"):
        load_metadata(Store(f"file://{tmp_path}"))
