"""The first convolution of a network in bfloat16: it sees the pixels as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cxr_spark.config.model import ARCHITECTURE_NAMES
from cxr_spark.models.architectures import architecture, build
from cxr_spark.models.exact_input import compute_first_layer_in_float32
from cxr_spark.models.fusing import fuse_batch_norms
from tests.support.by_torch import bgr_of


def pixels(side: int) -> torch.Tensor:
    """Smooth bright images as the network sees them, float32 (2, 3, side, side): rounding moves neighbours alike."""
    levels = np.random.default_rng(3).integers(190, 255, (2, 4, 4)).astype(np.float32)
    large = nn.functional.interpolate(torch.from_numpy(levels)[:, None], (side, side), mode="bilinear")
    return torch.from_numpy(bgr_of(large[:, 0].round().numpy().astype(np.uint8)))


def in_bf16(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        return network(images).float()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", [*ARCHITECTURE_NAMES, "timm/resnet10t", "timm/vit_tiny_patch16_224"])
def test_the_layer_that_sees_the_image_computes_in_float32(name: str) -> None:
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    side = 224 if "vit" in name else max(64, architecture(name).minimum_size)
    network = fuse_batch_norms(build(name, 3, seed=1).eval())
    images = pixels(side)
    seen: list[tuple[nn.Conv2d, torch.Tensor, torch.Tensor]] = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, given, output: seen.append((layer, given[0], output.clone())))
    in_bf16(compute_first_layer_in_float32(network), images)
    first, given, output = seen[0]
    assert given.dtype == torch.float32
    assert name.startswith("timm/") or torch.equal(given, images)  # timm's have their own scale before it
    with torch.inference_mode():
        exact = nn.functional.conv2d(given, first.weight, first.bias, first.stride, first.padding)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), exact.bfloat16().float(), rtol=2**-7, atol=1e-3)
    assert all(output.dtype == torch.bfloat16 for _, _, output in seen)  # the others are as fast as before


def test_the_first_sums_are_nearer_to_those_of_float32() -> None:
    torch.manual_seed(4)
    network, images = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3)).eval(), pixels(64)
    with torch.inference_mode():
        exact = network(images)
    plain = in_bf16(network, images) - exact
    changed = in_bf16(compute_first_layer_in_float32(network), images) - exact
    means = [part.mean(dim=(2, 3)).abs().mean() for part in (plain, changed)]  # what does not cancel out
    assert means[1] < means[0] / 5
    with torch.inference_mode():
        assert torch.equal(network(images), exact)  # without autocast it is the same network


def test_weights_have_the_same_names_and_other_layers_stay() -> None:
    network = build("small_cnn", 3, seed=1).eval()
    names = list(network.state_dict())
    kinds = [type(layer) for layer in network.modules()]
    compute_first_layer_in_float32(network)
    assert list(network.state_dict()) == names
    assert sum(type(layer) is not kind for layer, kind in zip(network.modules(), kinds, strict=True)) == 1
