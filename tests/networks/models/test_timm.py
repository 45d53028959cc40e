"""Networks of timm: the same function as timm's own, on the program's input, whatever their outer layers are."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms.v2.functional import normalize

from cxr_spark.augmentation.kernels import IMAGENET_MEAN_BGR
from cxr_spark.errors import ConfigError, DataError, UsageError
from cxr_spark.explanation.gradcam import GradCam
from cxr_spark.explanation.layers import check_layers
from cxr_spark.models import ModelMetadata, Weights, build, load_metadata, load_model, save_model
from cxr_spark.models import load_initial_weights as load_initial
from cxr_spark.models.architectures import batch_norm_epsilon_of, build_empty, check_input_size, map_layer
from cxr_spark.models.folder import BuildArguments, Preprocessing
from cxr_spark.models.freezing import freeze
from cxr_spark.models.fusing import fuse_batch_norms
from cxr_spark.models.importers import import_weights
from cxr_spark.models.stochastic_depth import set_stochastic_depth
from cxr_spark.storage.store import Store

timm = pytest.importorskip("timm")
from timm.layers import DropPath  # noqa: E402

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


def images(side: int, count: int = 2) -> torch.Tensor:
    """RGB images of 0 to 255, float32 (count, 3, side, side)."""
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(3)).float()


def as_bgr(rgb: torch.Tensor) -> torch.Tensor:
    return rgb.flip(1) - torch.tensor(IMAGENET_MEAN_BGR).reshape(3, 1, 1)


def own_network(name: str, n_outputs: int, **arguments: Any) -> nn.Module:
    """timm's own network with random weights, and batch norm statistics that are not those of a new one."""
    torch.manual_seed(2)
    network = timm.create_model(name, num_classes=n_outputs, **arguments)
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return network.eval()


def expected(network: nn.Module, name: str, rgb: torch.Tensor) -> torch.Tensor:
    """timm's logits of images that were normalised as timm says."""
    config = timm.get_pretrained_cfg(name)
    with torch.inference_mode():
        return network(normalize(rgb / 255, list(config.mean), list(config.std)))


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
    with pytest.raises(ConfigError, match=r"'timm/resnet10t' needs timm.*pip install 'cxr-spark\[timm\]'"):
        check_input_size("timm/resnet10t", 64)
    # A model's file can still be read and described.
    assert metadata("timm/resnet10t", 64).architecture == "timm/resnet10t"


@pytest.mark.parametrize(
    ("name", "side", "message"),
    [
        ("timm/test_vit", 100, r"model\.input_size 100 does not go with timm/test_vit \(.*\): it was made for 160"),
        ("timm/gmlp_s16_224", 96, "it was made for 224"),
        ("timm/inception_v3", 32, "it was made for 299"),
    ],
)
def test_image_sizes_that_a_network_cannot_take(name: str, side: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_input_size(name, side)


def test_image_sizes_that_a_network_can_take() -> None:
    check_input_size("timm/test_vit", 96)
    check_input_size("timm/resnet10t", 48)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet10t", "layer4"),
        ("densenet121", "features"),
        ("test_convnext", "norm_pre"),
        ("swin_tiny_patch4_window7_224", "norm"),
        ("test_vit", "blocks.5.norm1"),
        ("gmlp_s16_224", None),
    ],
)
def test_the_layer_of_grad_cam_is_found(name: str, layer: str | None) -> None:
    assert map_layer(f"timm/{name}") == layer
    if layer is None:
        with pytest.raises(UsageError, match=r"Grad-CAM cannot be drawn of timm/gmlp_s16_224"):
            check_layers(metadata(f"timm/{name}", 224), ())


@pytest.mark.parametrize(("name", "side"), [("test_vit", 96), ("swin_tiny_patch4_window7_224", 224)])
def test_grad_cam_of_lists_of_patches_and_of_channels_last(name: str, side: int) -> None:
    """Against the definition, written out for these two networks."""
    network = build(f"timm/{name}", 3, seed=1).eval()
    layer = map_layer(f"timm/{name}")
    assert layer is not None
    with GradCam(network, layer) as cam:
        cam.logits(as_bgr(images(side)))
        found = cam.maps([0, 1], [2, 0])
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0]

    network.get_submodule(layer).register_forward_hook(keep)
    logits = network(as_bgr(images(side)))
    for row, output in ((0, 2), (1, 0)):
        (gradient,) = torch.autograd.grad(logits[row, output], kept[0], retain_graph=True)
        values, slopes = kept[0].detach()[row], gradient[row]
        if name == "test_vit":  # the class token is first
            places = 96 // 16
            values, slopes = values[1:].reshape(places, places, -1), slopes[1:].reshape(places, places, -1)
        wanted = torch.einsum("hwc,c->hw", values, slopes.mean((0, 1))).clamp(min=0)
        torch.testing.assert_close(torch.from_numpy(found[row]), wanted, rtol=1e-4, atol=1e-8)


def test_layers_by_timms_names() -> None:
    shapes = check_layers(metadata("timm/swin_tiny_patch4_window7_224", 224), ["layers.1", "patch_embed.proj"])
    assert shapes == {"layers.1": (192, 28, 28), "patch_embed.proj": (96, 56, 56)}


def metadata(name: str, side: int) -> ModelMetadata:
    return ModelMetadata(
        architecture=name,
        findings=("A", "B", "C"),
        preprocessing=Preprocessing(input_size=side, stored_size=side),
        build=BuildArguments(dropout=0.25, hidden=(4,)),
    )


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


def test_dropout_stands_before_the_classifier_alone() -> None:
    network = build("timm/test_vit", 3, dropout=0.25)
    assert [part.p for part in network.modules() if isinstance(part, nn.Dropout) and part.p] == [0.25]


@pytest.mark.parametrize("name", ["test_vit", "resnet10t"])
def test_blocks_are_left_out_as_often_as_in_timms_network(name: str) -> None:
    network = build(f"timm/{name}", 3)
    assert all(part.drop_prob == 0 for part in network.modules() if isinstance(part, DropPath))
    set_stochastic_depth(network, 0.3, f"timm/{name}")
    own = timm.create_model(name, drop_path_rate=0.3)
    wanted = [part.drop_prob for part in own.modules() if isinstance(part, DropPath)]
    assert wanted
    found = [part.drop_prob for part in network.modules() if isinstance(part, DropPath)]
    assert found == pytest.approx(wanted)


def test_a_network_without_blocks_to_leave_out_is_refused() -> None:
    with pytest.raises(ConfigError, match="timm/densenet121 has no blocks that can be left out"):
        set_stochastic_depth(build("timm/densenet121", 2), 0.1, "timm/densenet121")


def test_what_is_frozen() -> None:
    network = build("timm/test_vit", 3)
    freeze(network, "backbone")
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {
        "head.output.weight",
        "head.output.bias",
    }


def test_the_seed_decides_the_weights() -> None:
    before = torch.random.get_rng_state()
    a, b, c = (build("timm/test_vit", 3, seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["patch_embed.proj.weight"], c["patch_embed.proj.weight"])
