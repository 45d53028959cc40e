"""Networks of timm: the same function as timm's own, on the program's input, whatever their outer layers are."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cxr_spark.errors import ConfigError, DataError, UsageError
from cxr_spark.models.architectures import batch_norm_epsilon_of, build, build_empty, check_input_size
from cxr_spark.models.folder import load_model, save_model
from cxr_spark.models.fusing import fuse_batch_norms
from cxr_spark.models.importers import import_weights
from cxr_spark.models.initial_weights import load_initial_weights as load_initial
from cxr_spark.models.metadata_file import load_metadata
from cxr_spark.models.weights import Weights
from cxr_spark.storage.store import Store
from tests.support.timm_networks import as_bgr, expected, images, metadata, own_network

#: Name, side of the images; what is particular.
NETWORKS = [
    ("resnet10t", 64),  # three first convolutions, batch norms that hold an activation
    ("test_convnext", 64),  # layer norms
    ("test_nfnet", 64),  # its convolutions standardise their weights, so nothing can be folded into them
    ("test_vit", 96),  # made for 160 pixels; mean and std 0.5
    ("dla46x_c", 64),  # its classifier is a convolution
    ("swin_tiny_patch4_window7_224", 224),  # channels last, constants that no file has
    ("test_maxvit", 160),
    ("tf_mobilenetv3_small_minimal_100.in1k", 64),  # a tag; an epsilon of its own
]
NAMES = [name for name, _ in NETWORKS]


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize(("name", "side"), NETWORKS, ids=NAMES)
def test_imported_weights_give_timms_logits(tmp_path: Path, name: str, side: int, suffix: str) -> None:
    if suffix == "pth" and name not in ("resnet10t", "dla46x_c"):
        pytest.skip("one file of each kind of classifier is enough")
    own = own_network(name, 7, **({"dynamic_img_size": True} if name == "test_vit" else {}))
    source = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(own.state_dict(), source)
    else:
        save_file({key: value.contiguous() for key, value in own.state_dict().items()}, source)
    weights = Weights.from_bytes(import_weights(str(source), f"timm/{name}").to_bytes(), "again")
    assert (weights.header.n_outputs, weights.header.architecture) == (7, f"timm/{name}")
    network = build(f"timm/{name}", 7, batch_norm_epsilon=weights.header.batch_norm_epsilon).eval()
    network.load_state_dict(weights.tensors)
    rgb = images(side)
    wanted = expected(own, name, rgb)
    with torch.inference_mode():
        torch.testing.assert_close(network(as_bgr(rgb)), wanted, rtol=1e-4, atol=1e-5 * max(1.0, float(wanted.std())))
    fresh = build(f"timm/{name}", 3, batch_norm_epsilon=weights.header.batch_norm_epsilon, seed=4)
    assert not load_initial(fresh, weights, findings=("A", "B", "C"))
    body = [key for key, value in network.state_dict().items() if value.shape == fresh.state_dict()[key].shape]
    assert all(torch.equal(fresh.state_dict()[key], network.state_dict()[key]) for key in body)


def test_a_file_without_a_classifier_and_one_of_half_precision(tmp_path: Path) -> None:
    own = own_network("test_vit", 0)
    save_file({key: value.half().contiguous() for key, value in own.state_dict().items()}, tmp_path / "a.safetensors")
    weights = import_weights(str(tmp_path / "a.safetensors"), "timm/test_vit")
    assert weights.header.n_outputs == 0
    assert torch.equal(weights.tensors["norm.weight"], own.state_dict()["norm.weight"])
    assert not any(name.startswith("head.") for name in weights.tensors)


def test_a_safetensors_file_may_begin_as_a_pickle_does(tmp_path: Path) -> None:
    """Its first byte is the lowest one of its header's length."""
    state, path = own_network("resnet10t", 5).state_dict(), tmp_path / "a.safetensors"
    for length in range(0, 300, 8):
        save_file(state, path, {"note": "x" * length})
        if path.read_bytes().startswith(b"\x80"):
            break
    assert path.read_bytes().startswith(b"\x80")
    assert import_weights(str(path), "timm/resnet10t").header.source_kind == "safetensors"


def test_files_of_older_releases_are_renamed_by_timm(tmp_path: Path) -> None:
    """Files of Swin, as its makers publish them, hold constants, too, and name the classifier otherwise."""
    name = "swin_tiny_patch4_window7_224"
    own = own_network(name, 5)
    old = {key.replace("head.fc.", "head."): value for key, value in own.state_dict().items()}
    for stage in (0, 1, 2):  # the layers that merge patches stood at the end of the stage before
        merged = [key for key in old if key.startswith(f"layers.{stage + 1}.downsample.")]
        old.update({key.replace(f"layers.{stage + 1}.", f"layers.{stage}."): old.pop(key) for key in merged})
    old["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    old["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    torch.save(old, tmp_path / "plain.pth")
    weights = import_weights(str(tmp_path / "plain.pth"), f"timm/{name}")
    for key, value in own.state_dict().items():
        assert torch.equal(weights.tensors[key.replace("head.fc.", "head.fc.output.")], value), key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.0.weight": None}, "lacks conv1.0.weight"),
        ({"conv1.0.weight": torch.zeros(3, 3, 3, 3)}, r"conv1\.0\.weight has shape"),
        ({"stranger": torch.zeros(3)}, "has unknown stranger"),
        ({"fc.weight": torch.zeros(3)}, r"fc\.weight has shape \[3\]"),
        ({"bn1.weight": torch.full((64,), float("nan"))}, "NaN or infinite"),
    ],
)
def test_files_of_another_network_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    state = {**own_network("resnet10t", 5).state_dict(), **change}
    save_file({key: value for key, value in state.items() if value is not None}, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=message):
        import_weights(str(tmp_path / "a.safetensors"), "timm/resnet10t")


def test_keras_files_are_none_of_timms(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("conv1").attrs["weight_names"] = []
        file.attrs["layer_names"] = [b"conv1"]
    with pytest.raises((UsageError, DataError)):
        import_weights(str(tmp_path / "a.h5"), "timm/resnet10t")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnet10", r"no network 'resnet10': did you mean timm/resnet10t"),
        (
            "timm/resnet10t.nonsense",
            r"no tag 'nonsense' of resnet10t: expected timm/resnet10t or one of timm/resnet10t\.",
        ),
        ("timm/hf-hub:someone/resnet", "no name of timm's"),
        ("timm/local-dir:/tmp", "no name of timm's"),
        ("timm/", "no name of timm's"),
        ("timm/" + "a" * 4000, "no name of timm's"),
        ("timm/crossvit_9_240", "no classifier of one layer"),
    ],
)
def test_wrong_names(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        build(name, 2)
    assert len(str(told.value)) < 500


def test_where_timm_is_not_installed_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    # A network that no other test looks up: what was found before stays known in this process.
    with pytest.raises(ConfigError, match=r"'timm/resnet14t' needs timm.*pip install 'cxr-spark\[timm\]'"):
        check_input_size("timm/resnet14t", 64)
    # A model's file can still be read and described.
    assert metadata("timm/resnet14t", 64).architecture == "timm/resnet14t"


@pytest.mark.parametrize(("name", "side"), NETWORKS, ids=NAMES)
def test_a_model_folder_gives_the_same_network_back(tmp_path: Path, name: str, side: int) -> None:
    network = build(f"timm/{name}", 3, dropout=0.25, hidden=(4,), seed=8).eval()
    save_model(Store(str(tmp_path)), network, metadata(f"timm/{name}", side))
    loaded = load_model(Store(str(tmp_path))).module
    values = as_bgr(images(side))
    with torch.inference_mode():
        assert torch.equal(fuse_batch_norms(loaded)(values), network(values))
    empty = build_empty(f"timm/{name}", 3, dropout=0.25, hidden=(4,))
    assert {k: v.shape for k, v in empty.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}
    assert batch_norm_epsilon_of(empty) == batch_norm_epsilon_of(network)


@pytest.mark.parametrize(
    "name", ["timm/nonsense", "timm/../../etc", "timm/hf-hub:a/b", "timm/" + "x" * 200, "timm/x" * 99]
)
def test_names_that_no_model_has(tmp_path: Path, name: str) -> None:
    save_model(
        Store(str(tmp_path)), build("timm/resnet10t", 3, dropout=0.25, hidden=(4,)), metadata("timm/resnet10t", 64)
    )
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architecture": name}))
    with pytest.raises(DataError, match=r"metadata\.json is no model's metadata") as told:
        load_metadata(Store(str(tmp_path)))
    assert len(str(told.value)) < 700


def test_the_seed_decides_the_weights() -> None:
    before = torch.random.get_rng_state()
    a, b, c = (build("timm/test_vit", 3, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["patch_embed.proj.weight"], c["patch_embed.proj.weight"])
