"""Networks: shapes, seeds, heads and what is frozen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cxr_spark.commands.main import parse
from cxr_spark.config.model import ARCHITECTURE_NAMES
from cxr_spark.errors import ConfigError
from cxr_spark.models.architectures import ARCHITECTURES, batch_norms, build
from cxr_spark.models.freezing import freeze, layer_names, set_train_mode
from cxr_spark.models.head import head_name


def test_the_help_lists_every_architecture(capsys):
    with pytest.raises(SystemExit):
        parse(["import-weights", "--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    assert set(ARCHITECTURES) <= set(words)
    assert set(ARCHITECTURE_NAMES) == set(ARCHITECTURES)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name):
    spec = ARCHITECTURES[name]
    before = torch.random.get_rng_state()
    network = build(name, 15, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)  # the caller's draws are not moved
    side = spec.minimum_size
    images = torch.randn(2, 3, side, side) * 60
    maps: list[torch.Tensor] = []
    network.get_submodule(spec.last_conv).register_forward_hook(lambda *args: maps.append(args[2]))
    logits = network.train()(images)
    assert logits.shape == (2, 15)
    assert logits.dtype == torch.float32
    assert maps[0].ndim == 4
    assert isinstance(network.get_submodule(spec.stem), nn.Conv2d)
    if spec.stem_norm:
        assert isinstance(network.get_submodule(spec.stem_norm), nn.BatchNorm2d)
    logits.sum().backward()
    # Nothing is left over that no output depends on: distributed training would hang on it.
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


def test_the_seed_decides_the_weights():
    a, b, c = (build("efficientnet_b0", 3, seed=seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["classifier.1.output.weight"], c["classifier.1.output.weight"])
    assert not torch.equal(a["features.0.0.weight"], c["features.0.0.weight"])


def test_resnet50_v1_has_its_strides_on_the_first_convolution():
    for stage in (2, 3, 4):
        v1 = getattr(build("resnet50_v1", 2), f"layer{stage}")[0]
        v15 = getattr(build("resnet50", 2), f"layer{stage}")[0]
        assert (v1.conv1.stride, v1.conv2.stride) == ((2, 2), (1, 1))
        assert (v15.conv1.stride, v15.conv2.stride) == ((1, 1), (2, 2))


@pytest.mark.parametrize(("hidden", "dropout"), [((), 0.0), ((8,), 0.0), ((16, 8), 0.5), ((), 0.5)])
def test_head(hidden, dropout):
    network = build("resnet50", 4, hidden=hidden, dropout=dropout)
    head = network.get_submodule(head_name(network))
    linear = [m for m in head.modules() if isinstance(m, nn.Linear)]
    assert [m.out_features for m in linear] == [*hidden, 4]
    assert len([m for m in head.modules() if isinstance(m, nn.Dropout)]) == (len(linear) if dropout else 0)


def test_dropout_that_a_network_has_itself_is_the_one_that_is_set():
    for dropout in (0.0, 0.3):
        network = build("vgg16", 2, dropout=dropout)
        assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [dropout, dropout]


@torch.inference_mode()
def test_head_computes_in_float32_under_autocast():
    network = build("efficientnet_b0", 3, seed=0).eval()
    features: list[torch.Tensor] = []
    head = network.get_submodule(head_name(network))
    head.register_forward_pre_hook(lambda _, args: features.append(args[0]))
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.randn(8, 3, 64, 64))
    assert features[0].dtype == torch.bfloat16  # the rest does not
    assert logits.dtype == torch.float32
    layer = head.output
    assert torch.equal(logits, torch.nn.functional.linear(features[0].float(), layer.weight, layer.bias))
    assert not torch.equal(logits, logits.bfloat16().float())


def test_batch_norm_epsilon():
    assert {m.eps for m in batch_norms(build("resnet50", 2, batch_norm_epsilon=1e-3))} == {1e-3}
    assert {m.eps for m in batch_norms(build("resnet50", 2))} == {1e-5}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet51", 2), "did you mean"),
        (("", 2), "expected one of resnet50"),
        (("resnet50", 0), "at least one output"),
    ],
)
def test_bad_names_and_sizes(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": 1.0}, "0 <= dropout < 1"),
        ({"dropout": float("nan")}, "0 <= dropout < 1"),
        ({"hidden": (8, 0)}, "width below 1"),
        ({"batch_norm_epsilon": 0.0}, "above 0"),
        ({"batch_norm_epsilon": float("inf")}, "above 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        build("resnet50", 2, **options)


# --- freezing ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build("resnet50", 3, hidden=(8,))


def trained(network: nn.Module) -> set[str]:
    return {name for name, p in network.named_parameters() if p.requires_grad}


def test_what_is_frozen(network):
    every = {name for name, _ in network.named_parameters()}
    head = {name for name in every if name.startswith("fc.")}
    assert freeze(network, "none") == []
    assert trained(network) == every
    freeze(network, "backbone")
    assert trained(network) == head
    freeze(network, {"until": "layer3"})
    assert trained(network) == head | {name for name in every if name.startswith("layer4.")}
    frozen = freeze(network, {"until": "layer4.2.bn2"})
    assert frozen[-1] == "layer4.2.bn2"
    assert trained(network) == head | {"layer4.2.conv3.weight", "layer4.2.bn3.weight", "layer4.2.bn3.bias"}
    freeze(network, {"last": 3})
    assert trained(network) == head | {"layer4.2.bn3.weight", "layer4.2.bn3.bias"}
    freeze(network, "none")  # what was frozen thaws again
    assert trained(network) == every


def test_layer_names_of_a_network_with_parameters_of_a_block_itself():
    names = layer_names(build("convnext_tiny", 2))
    assert "features.1.0" in names  # its layer scale
    assert names[-1] == "classifier.2.output"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"until": "layr3"}, "near names are layer3"),
        ({"until": ""}, "no layer"),
        ({"until": "xyz"}, "conv1, bn1"),
        ({"until": "fc"}, "leaves no layer to train"),
        ({"last": 0}, "out of range"),
        ({"last": 1000}, "network has 108 layers"),
        ({"last": True}, "not understood"),
        ({"until": "layer3", "last": 2}, "not understood"),
        ("all", "expected none, backbone"),
        ({}, "not understood"),
    ],
)
def test_bad_freezing(network, spec, message):
    with pytest.raises(ConfigError, match=message):
        freeze(network, spec)


def test_frozen_batch_norms_keep_their_statistics():
    network = build("resnet50", 2)
    freeze(network, {"until": "layer2"})
    set_train_mode(network)
    assert network.training
    before = {name: b.clone() for name, b in network.named_buffers() if "running" in name}
    network(torch.randn(4, 3, 64, 64))
    moved = {name for name, b in network.named_buffers() if "running" in name and not torch.equal(b, before[name])}
    assert moved == {name for name in before if name.startswith(("layer3", "layer4"))}
