"""Networks in BigDL against torch: the same outputs from the same weights, and the weights back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.bigdl.model.network import Network
from cxr_spark.models.architectures import build
from cxr_spark.models.freezing import freeze
from cxr_spark.models.initial_weights import read_weights


def random_network(architecture, seed=1, **arguments):
    """A network whose batch norms are no identities, and whose activations stay of the order of 1."""
    module = build(architecture, 5, seed=seed, **arguments)
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.0, generator=generator)
            layer.bias.data.normal_(0, 0.1, generator=generator)
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(1.0, 2.0, generator=generator)
    return module.eval()


def images(n=2, side=64):
    pixels = torch.randint(0, 256, (n, side, side), generator=torch.Generator().manual_seed(7), dtype=torch.uint8)
    return imagenet_bgr(pixels)


def forward(network, batch):
    network.model.evaluate()
    return network.model.forward(batch.numpy())


@pytest.mark.parametrize("architecture", ["resnet50", "resnet50_v1", "googlenet"])
@pytest.mark.parametrize("frozen", ["none", "backbone"])
def test_outputs_are_those_of_torch(bridge, architecture, frozen):
    module = random_network(architecture, hidden=(16,))
    freeze(module, frozen)
    network = Network(architecture, module, bridge, {})
    network.load(module.state_dict())
    with torch.no_grad():
        expected = module(images()).numpy()
    scale = np.abs(expected).max()
    assert scale > 1e-3
    np.testing.assert_allclose(forward(network, images()) / scale, expected / scale, atol=1e-4)


def test_outputs_with_the_genuine_weights_are_those_of_torch(bridge, imagenet_weights):
    weights = read_weights(f"file://{imagenet_weights}")
    module = build("resnet50_v1", 1000, batch_norm_epsilon=weights.header.batch_norm_epsilon).eval()
    module.load_state_dict(weights.tensors)
    network = Network("resnet50_v1", module, bridge, {})
    network.load(module.state_dict())
    with torch.no_grad():
        expected = module(images(1, 96)).numpy()
    np.testing.assert_allclose(forward(network, images(1, 96)), expected, atol=1e-4)


@pytest.mark.parametrize("frozen", ["none", {"until": "layer2"}, {"last": 3}])
def test_trained_weights_come_back_bit_for_bit_and_nothing_else_changes(bridge, frozen):
    module = random_network("resnet50")
    freeze(module, frozen)
    network = Network("resnet50", module, bridge, {})
    network.load(module.state_dict())
    zeros = {name: torch.zeros_like(tensor) for name, tensor in module.state_dict().items()}
    found = network.read(zeros)
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(torch.equal(found[name], module.state_dict()[name]) for name in trained)
    assert not any(found[name].any() for name in found.keys() - trained)
