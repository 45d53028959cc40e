from __future__ import annotations

import pytest
import torch
from torchvision.models import convnext_tiny
from torchvision.ops import StochasticDepth

from cxr_spark.errors import ConfigError
from cxr_spark.models.architectures import build, build_empty
from cxr_spark.models.stochastic_depth import set_stochastic_depth


def rates(module):
    return [part.p for part in module.modules() if isinstance(part, StochasticDepth)]


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_blocks_are_left_out_as_often_as_in_torchvisions_network(rate) -> None:
    network = build_empty("convnext_tiny", 2)
    set_stochastic_depth(network, rate, "convnext_tiny")
    with torch.device("meta"):
        assert rates(network) == pytest.approx(rates(convnext_tiny(stochastic_depth_prob=rate)))


def test_the_architectures_own_rate_stays_by_default() -> None:
    network = build_empty("convnext_tiny", 2)
    set_stochastic_depth(network, None, "convnext_tiny")
    with torch.device("meta"):
        assert rates(network) == rates(convnext_tiny())


def test_a_network_without_such_blocks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.stochastic_depth=0\.1: resnet50 has no blocks that can be left out"):
        set_stochastic_depth(build_empty("resnet50", 2), 0.1, "resnet50")


def test_the_blocks_that_are_left_out_follow_from_the_seed_and_scoring_leaves_out_none() -> None:
    network = build("efficientnet_b0", 2, seed=1)
    set_stochastic_depth(network, 0.9, "efficientnet_b0")
    images = torch.randn(4, 3, 64, 64) * 60
    assert torch.equal(network.eval()(images), build("efficientnet_b0", 2, seed=1).eval()(images))

    def outputs(seed):
        torch.manual_seed(seed)
        return network.train()(images)

    assert torch.equal(outputs(1), outputs(1))
    assert not torch.equal(outputs(1), outputs(2))
