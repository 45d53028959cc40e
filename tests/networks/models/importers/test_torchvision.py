"""torchvision weights: ours on ImageNet-mean BGR computes what torchvision does on its own normalised RGB."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torchvision import models

from cxr_spark.errors import ConfigError, CxrError, DataError, UsageError
from cxr_spark.models.architectures import ARCHITECTURES, build
from cxr_spark.models.importers import import_weights
from cxr_spark.models.importers.torchvision_pth import from_state_dict
from cxr_spark.models.initial_weights import resolve_weights
from cxr_spark.models.weights import Weights

MEAN_BGR = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

#: All that differ in how they begin; resnet101 begins as resnet50.
NETWORKS = [name for name in ARCHITECTURES if name not in ("resnet50_v1", "resnet101", "small_cnn")]
#: These come with auxiliary classifiers, and rescale their input themselves.
RESCALING = ("googlenet", "inception_v3")


def torchvision_network(name: str, classes: int = 12) -> torch.nn.Module:
    """torchvision's network as its pretrained weights are used, with weights that spread the activations."""
    torch.manual_seed(11)
    options = {"aux_logits": name == "googlenet", "transform_input": True, "init_weights": True}
    options = options if name in RESCALING else {}
    network = models.get_model(name, weights=None, num_classes=classes, **options)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # statistics are those of the batches that follow
        torch.nn.init.normal_(norm.bias, std=0.2)
    if norms:
        side = 96 if name == "inception_v3" else 64
        with torch.no_grad():
            for _ in range(2):
                network.train()(torch.randn(4, 3, side, side))
    return network.eval()


def ours(weights: Weights) -> torch.nn.Module:
    header = weights.header
    network = build(header.architecture, header.n_outputs, batch_norm_epsilon=header.batch_norm_epsilon)
    network.load_state_dict(weights.tensors)
    return network.eval()


def imported(network: torch.nn.Module, name: str) -> Weights:
    return from_state_dict(network.state_dict(), name, what="x.pth", source_kind="torchvision", source_sha256="0" * 64)


def images(name: str) -> torch.Tensor:
    side = 96 if name == "inception_v3" else 64
    return torch.randint(0, 256, (2, 3, side, side), generator=torch.Generator().manual_seed(3)).float()


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_folding_is_exact_where_nothing_is_padded(name):
    theirs = torchvision_network(name)
    mine = ours(imported(theirs, name))
    stem = ARCHITECTURES[name].stem
    theirs.get_submodule(stem).padding = (0, 0)
    mine.get_submodule(stem).padding = (0, 0)
    rgb = images(name)
    normalised = (rgb / 255 - MEAN) / STD
    truth = theirs(normalised)
    assert float(truth.std(0).mean()) > 0.01 * float(truth.std())  # the outputs do depend on the image
    # Deep networks of random weights magnify rounding, some of them a thousandfold: it is the yardstick.
    rounding = float((theirs.double()(normalised.double()) - truth).abs().max())
    assert float((mine(rgb.flip(1) - MEAN_BGR) - truth).abs().max()) < 5 * rounding


@pytest.mark.parametrize(
    ("name", "greys"), [("resnet50", 0.5), ("densenet121", 0.5), ("efficientnet_b0", 0.5), ("googlenet", 24)]
)
@torch.inference_mode()
def test_only_the_border_of_a_padded_layer_differs(name, greys):
    """And by no more than padding with a pixel value that is so many greys (of 255) away."""
    theirs = torchvision_network(name)
    mine = ours(imported(theirs, name))
    spec = ARCHITECTURES[name]
    rgb = images(name)
    normalised = (rgb / 255 - MEAN) / STD
    if name in RESCALING:
        normalised = theirs._transform_input(normalised)
    stem = theirs.get_submodule(spec.stem)
    truth = theirs.get_submodule(spec.stem_norm)(stem(normalised))
    gap = (mine.get_submodule(spec.stem_norm)(mine.get_submodule(spec.stem)(rgb.flip(1) - MEAN_BGR)) - truth).abs()
    assert float(gap[..., 2:-2, 2:-2].max()) < 1e-4
    norm = theirs.get_submodule(spec.stem_norm)
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).abs()
    std = 0.5 if name in RESCALING else float(STD.min())
    limit = greys / 255 / std * stem.weight.abs().sum((1, 2, 3)) * scale
    assert bool((gap.amax((0, 2, 3)) < limit).all())
    assert float(gap.max()) > 1e-4


def test_pth_and_safetensors_files(tmp_path):
    network = torchvision_network("efficientnet_b0", classes=1000)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    safetensors.torch.save_file(network.state_dict(), tmp_path / "w.safetensors")
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, tmp_path / "c.pth"
    )
    a, b, c = (
        import_weights((tmp_path / name).as_uri(), "efficientnet_b0") for name in ("w.pth", "w.safetensors", "c.pth")
    )
    assert (a.header.source_kind, b.header.source_kind) == ("torchvision", "safetensors")
    assert a.header.n_outputs == 1000
    assert a.header.batch_norm_epsilon == 1e-5
    for other in (b, c):
        assert all(torch.equal(tensor, other.tensors[name]) for name, tensor in a.tensors.items())
    # What we wrote can be imported again, and stays as it is: folded once.
    (tmp_path / "ours.safetensors").write_bytes(a.to_bytes())
    again = import_weights((tmp_path / "ours.safetensors").as_uri(), "efficientnet_b0")
    assert again.to_bytes() == a.to_bytes()
    with pytest.raises(UsageError, match="--architecture efficientnet_b0"):
        import_weights((tmp_path / "ours.safetensors").as_uri(), "resnet50")


def test_old_names_of_densenet():
    network = torchvision_network("densenet121")
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", k): v for k, v in network.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    without = {k: v for k, v in old.items() if not k.endswith("num_batches_tracked")}
    weights = from_state_dict(without, "densenet121", what="x", source_kind="torchvision", source_sha256="0")
    new = imported(network, "densenet121")
    for name, tensor in new.tensors.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, weights.tensors[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer3.2.conv1.weight"), r"lacks layer3\.2\.conv1\.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "has unknown extra"),
        (lambda s: s.update({"layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3)}), r"shape \[64, 64, 3, 3\], expected"),
        (lambda s: s["bn1.running_var"].fill_(-1.0), r"bn1\.running_var has a negative variance"),
        (lambda s: s["layer1.0.conv1.weight"].view(-1)[:2].fill_(float("inf")), "2 of 4,096 values that are NaN"),
        (lambda s: s.update({"conv1.weight": s["conv1.weight"].to(torch.complex64)}), "complex64"),
        (lambda s: s.pop("fc.weight"), r"no matrix fc\.weight"),
        (lambda s: s.update({"fc.weight": torch.zeros(3)}), r"no matrix fc\.weight"),
    ],
)
def test_damaged_weights_are_named(resnet, change, message):
    state = {name: tensor.clone() for name, tensor in resnet.items()}
    change(state)
    with pytest.raises(DataError, match=message):
        from_state_dict(state, "resnet50", what="x.pth", source_kind="torchvision", source_sha256="0")


@pytest.fixture(scope="module")
def resnet() -> dict[str, torch.Tensor]:
    return models.resnet50(num_classes=2).state_dict()


def test_other_architectures_are_refused(resnet):
    for name, kind, message in (
        ("resnet101", DataError, r"lacks layer3\.6"),
        ("vgg16", DataError, r"no matrix classifier\.6\.weight"),
        ("resnet50_v1", UsageError, "--architecture resnet50"),
        ("small_cnn", UsageError, "no weights of small_cnn"),
        ("resnet5", ConfigError, "did you mean 'resnet50'"),
    ):
        with pytest.raises(kind, match=message):
            from_state_dict(resnet, name, what="x.pth", source_kind="torchvision", source_sha256="0")


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/cxr-spark-was-here"),))


def test_hostile_and_foreign_files(tmp_path):
    def refused(data: bytes, message: str) -> None:
        (tmp_path / "w.pth").write_bytes(data)
        with pytest.raises(CxrError, match=message) as caught:
            import_weights((tmp_path / "w.pth").as_uri(), "resnet50")
        assert "\n" not in str(caught.value)

    torch.save({"x": Evil()}, tmp_path / "evil.pth")
    refused((tmp_path / "evil.pth").read_bytes(), "not a file of plain torch weights")
    refused(pickle.dumps({"x": Evil()}), "not a file of plain torch weights")
    assert not Path("/tmp/cxr-spark-was-here").exists()
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    refused((tmp_path / "tensor.pth").read_bytes(), "holds Tensor")
    torch.save({"a": torch.zeros(3), "b": 4}, tmp_path / "mixed.pth")
    whole = (tmp_path / "mixed.pth").read_bytes()
    refused(whole, "'b' is int")
    refused(whole[: len(whole) // 2], "not a file of plain torch weights")
    refused(b"", r"\(0 bytes\) is no file of weights")
    refused(b"\x89PNG\r\n\x1a\n" + b"0" * 100, "no file of weights")
    refused(safetensors.torch.save({"a": torch.zeros(3)})[:-4], "not a whole safetensors file")
    with pytest.raises(UsageError, match="no such file"):
        import_weights((tmp_path / "absent.pth").as_uri(), "resnet50")


def test_weights_by_torchvision_name(tmp_path, monkeypatch):
    """The name goes through torchvision's own code, which finds a file in its cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    entry = models.EfficientNet_B0_Weights.IMAGENET1K_V1
    network = torchvision_network("efficientnet_b0", classes=1000)
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(network.state_dict(), cache / entry.url.rpartition("/")[2])
    weights = resolve_weights("IMAGENET1K_V1", "efficientnet_b0")
    assert weights is not None
    assert weights.header.source == "torchvision EfficientNet_B0_Weights.IMAGENET1K_V1"
    expected = imported(network, "efficientnet_b0").tensors
    assert all(torch.equal(tensor, weights.tensors[name]) for name, tensor in expected.items())


def test_names_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_internet(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_internet)
    monkeypatch.setattr("torch.hub.urlopen", no_internet)
    with pytest.raises(ConfigError, match=r"import-weights FILE\.pth --architecture resnet50 .*model\.weights"):
        resolve_weights("IMAGENET1K_V2", "resnet50")
    with pytest.raises(ConfigError, match="IMAGENET1K_V1, IMAGENET1K_V2"):
        resolve_weights("IMAGENET1K_V3", "resnet50")
    with pytest.raises(ConfigError, match="resnet50_v1"):
        resolve_weights("IMAGENET1K_V1", "resnet50_v1")
    with pytest.raises(ConfigError, match="torchvision has no weights of small_cnn"):
        resolve_weights("IMAGENET1K_V1", "small_cnn")
    assert resolve_weights("random", "resnet50") is None
