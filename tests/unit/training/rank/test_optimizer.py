"""What an optimiser does with parameters whose gradient is zero: only weight decay moves them."""

from __future__ import annotations

import pytest
import torch

from cxr_spark.config import TrainSettings
from cxr_spark.models.architectures import build
from cxr_spark.models.freezing import freeze
from cxr_spark.training.rank.optimizer import make_optimizer

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
