"""What an optimiser does with parameters whose gradient is zero: only weight decay moves them."""

from __future__ import annotations

import pytest
import torch

from cxr_spark.config import TrainSettings
from cxr_spark.models.architectures import build
from cxr_spark.models.freezing import freeze
from cxr_spark.training.rank.optimizer import make_optimizer, set_rate

RATE = 0.1


def moved(**settings) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Parameters by name, before and after a step of plain SGD with gradients of zero."""
    network = build("googlenet", 2, seed=1)
    freeze(network, {"until": "inception3a"})
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = make_optimizer(network, TrainSettings(optimizer="sgd", learning_rate=RATE, momentum=0, **settings))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {name: (before[name], parameter.detach()) for name, parameter in network.named_parameters()}


@pytest.mark.parametrize(
    ("settings", "body", "head"),
    [
        ({}, 0.0, 0.0),
        ({"head_weight_decay": 0.5}, 0.0, 0.5),
        ({"weight_decay": 0.2}, 0.2, 0.2),
        ({"weight_decay": 0.2, "head_weight_decay": 0.0}, 0.2, 0.0),
    ],
)
def test_decay_of_body_and_head_and_of_nothing_else(settings, body, head) -> None:
    frozen = ("conv1", "conv2", "conv3", "inception3a")
    for name, (before, after) in moved(**settings).items():
        decay = 0.0
        if before.ndim > 1 and not name.startswith(frozen):
            decay = head if name.startswith("fc.") else body
        torch.testing.assert_close(after, before * (1 - RATE * decay), msg=name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_optimizers_by_name(name, kind) -> None:
    network = build("googlenet", 2)
    assert type(make_optimizer(network, TrainSettings(optimizer=name))) is kind


#: Depth of a parameter by the beginning of its name: the number of blocks between it and the head.
DEPTHS = {
    "resnet50": {"conv1": 5, "bn1": 5, "layer1": 4, "layer2": 3, "layer3": 2, "layer4": 1, "fc": 0},
    "convnext_tiny": {**{f"features.{i}": 8 - i for i in range(8)}, "classifier": 0},
    "densenet121": {
        **{"features.conv0": 8, "features.norm0": 8, "features.denseblock1": 7, "features.transition1": 6},
        **{"features.denseblock2": 5, "features.transition2": 4, "features.denseblock3": 3, "features.transition3": 2},
        **{"features.denseblock4": 1, "features.norm5": 1, "classifier": 0},
    },
}


@pytest.mark.parametrize("architecture", DEPTHS)
def test_blocks_learn_more_slowly_the_further_they_are_from_the_head(architecture) -> None:
    network = build(architecture, 2)
    optimizer = make_optimizer(network, TrainSettings(layer_decay=0.5, weight_decay=0.1))
    set_rate(optimizer, 0.08)
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in network.named_parameters():
        [depth] = [depth for block, depth in DEPTHS[architecture].items() if name.startswith(f"{block}.")]
        assert groups[id(parameter)]["lr"] == pytest.approx(0.08 * 0.5**depth), name
        assert groups[id(parameter)]["weight_decay"] == (0.0 if parameter.ndim <= 1 else 0.1), name


def test_all_blocks_learn_at_one_rate_by_default() -> None:
    optimizer = make_optimizer(build("googlenet", 2), TrainSettings())
    set_rate(optimizer, 0.03)
    assert len(optimizer.param_groups) == 3
    assert {group["lr"] for group in optimizer.param_groups} == {0.03}
