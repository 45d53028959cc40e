"""Fused networks compute what they did before, with fewer layers."""

from __future__ import annotations

import copy

import pytest
import torch

from cxr_spark.models.architectures import ARCHITECTURES, batch_norms, build
from cxr_spark.models.fusing import fuse_batch_norms
from cxr_spark.models.head import head_name

#: Batch norms that do not follow a convolution. DenseNet: one in each of 58 layers and 3 transitions, and the last one;
#: the small network has an activation between the two.
LEFT = {"densenet121": 58 + 3 + 1, "small_cnn": 6}


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ("vgg16", "resnet101")])
@torch.inference_mode()
def test_the_function_stays_the_same(name):
    network = build(name, 4, seed=2)
    side = ARCHITECTURES[name].minimum_size
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 2 * side, 2 * side, generator=generator) * 60
    for norm in batch_norms(network):
        norm.momentum = None
        torch.nn.init.normal_(norm.bias, std=0.3)
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    network.train()(images)
    network.eval()
    network.set_submodule(head_name(network), torch.nn.Identity())  # it casts to float32
    network.double()
    before = network(images.double())
    assert float(before.std(0).mean()) > 0.01
    fused = fuse_batch_norms(copy.deepcopy(network))
    assert len(batch_norms(fused)) == LEFT.get(name, 0)
    torch.testing.assert_close(fused(images.double()), before, rtol=1e-6, atol=1e-9 * float(before.abs().max()))
