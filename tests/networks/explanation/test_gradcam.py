"""Grad-CAM of every architecture against derivatives by differences, which know nothing of hooks or gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cxr_spark.explanation.gradcam import GradCam, weights_plus_plus
from cxr_spark.models.architectures import ARCHITECTURES, architecture, build
from cxr_spark.models.head import head_name

FINDING = 1


def small_network(name: str) -> torch.nn.Module:
    network = build(name, 3, seed=1)
    if name == "vgg16":  # 120 million weights of two dense layers say nothing about the map
        network.classifier[0] = torch.nn.Linear(512 * 49, 16)
        network.classifier[3] = torch.nn.Linear(16, 4096)
    name_of_head = head_name(network)
    head = network.get_submodule(name_of_head)
    torch.nn.init.zeros_(head.output.bias)  # untrained networks give tiny features: next to a bias they would drown
    network.set_submodule(name_of_head, torch.nn.Sequential(*head))  # a Head computes in float32
    return network.double().eval()


def by_differences(network: torch.nn.Module, name: str, image: torch.Tensor) -> torch.Tensor:
    """The map without its ReLU: at a position p, the slope of the logit along A_k(p) / (h w) in all of channel k."""
    step = 1e-5
    change: torch.Tensor | None = None
    seen: list[torch.Tensor] = []

    def hook(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        output = functional.relu(output) if name == "densenet121" else output
        seen.append(output)
        return output if change is None else output + change

    layer = network.get_submodule(architecture(name).last_conv)
    with torch.no_grad():
        handle = layer.register_forward_hook(hook)
        before = network(image)[0, FINDING]
        activation = seen[0][0].clone()
        _, height, width = activation.shape
        slopes = torch.zeros(height, width, dtype=torch.float64)
        for row in range(height):
            for column in range(width):
                change = step * activation[:, row, column, None, None] / (height * width)
                slopes[row, column] = (network(image)[0, FINDING] - before) / step
        handle.remove()
    return slopes


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_map_is_what_differences_give(name: str) -> None:
    spec = architecture(name)
    side = max(64, spec.minimum_size)
    network = small_network(name)
    images = torch.randn(2, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 50
    wanted = by_differences(network, name, images[1:])
    with GradCam(network, spec.last_conv) as cam:
        logits = cam.logits(images)
        (found,) = cam.maps([1], [FINDING])
    with torch.no_grad():
        torch.testing.assert_close(logits, network(images).float())
    scale = wanted.abs().max()
    assert scale > 0
    torch.testing.assert_close(
        torch.from_numpy(found).double(), wanted.clamp(min=0), rtol=1e-3, atol=float(scale) * 1e-3
    )


def test_hooks_are_gone_afterwards() -> None:
    network = build("efficientnet_b0", 2).eval()
    with GradCam(network, "features.8", also=["features.0"]) as cam:
        cam.logits(torch.zeros(1, 3, 32, 32))
        assert cam.features["features.0"].shape == (1, 32, 16, 16)
    assert not any(module._forward_hooks for module in network.modules())
    with pytest.raises(ValueError, match="batch"):
        cam.maps([0], [0])


def test_kept_layers_are_not_overwritten_in_place() -> None:
    """The batch norm of a ResNet's stem is followed by a ReLU in place."""
    network = build("resnet50", 2).eval()
    image = torch.randn(1, 3, 32, 32)
    with GradCam(network, "layer4", also=["bn1"]) as cam:
        cam.logits(image)
        kept = cam.features["bn1"]
    with torch.no_grad():
        torch.testing.assert_close(kept, network.bn1(network.conv1(image)))
    assert (kept < 0).any()


def test_maps_of_several_findings_of_some_images() -> None:
    network = build("efficientnet_b0", 4, seed=2).eval()
    images = torch.randn(3, 3, 64, 64)
    with GradCam(network, "features.8") as cam:
        cam.logits(images)
        both = cam.maps([2, 0], [3, 1])
        cam.logits(images[2:])
        alone = cam.maps([0], [3])
    torch.testing.assert_close(torch.from_numpy(both[0]), torch.from_numpy(alone[0]), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_maps_of_all_layers_have_channels_first(name) -> None:
    """Against the shapes that hooks of plain torch see; ConvNeXt's inner layers have their channels last."""
    spec = ARCHITECTURES[name]
    network = build(name, 2, seed=1).eval()
    named = {m: n for n, m in network.named_modules() if n and isinstance(m, nn.Conv2d | nn.LayerNorm | nn.GELU)}
    seen: dict[str, torch.Tensor] = {}
    for module in named:
        module.register_forward_hook(lambda m, _, output: seen.update({named[m]: output.detach().clone()}))
    side = max(spec.minimum_size, 64)
    with GradCam(network, spec.last_conv, also=tuple(named.values())) as cam:
        cam.logits(torch.randn(1, 3, side, side))
        assert set(cam.features) == set(seen)
        for layer, found in cam.features.items():
            inner = name == "convnext_tiny" and ".block." in layer and not layer.endswith("block.0")
            expected = seen[layer].movedim(-1, 1) if inner else seen[layer]
            assert torch.equal(found, expected), layer


def test_plus_plus_is_the_papers_formula_by_three_derivatives_of_the_exponential() -> None:
    """A = ReLU(conv), logit = a linear layer over its means; the derivatives of exp(logit) are torch's own."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)
    ).double()
    image = torch.randn(1, 3, 6, 6, dtype=torch.float64)
    activation = network[:2](image).detach()

    def score(value: torch.Tensor, place: tuple[int, ...]) -> torch.Tensor:
        changed = activation.clone()
        changed[place] = value
        return network[2:](changed)[0, FINDING].exp()

    weights = torch.zeros(5, dtype=torch.float64)
    for place in np.ndindex(*activation.shape):
        value = activation[place].clone().requires_grad_()
        (first,) = torch.autograd.grad(score(value, place), value, create_graph=True)
        (second,) = torch.autograd.grad(first, value, create_graph=True)
        (third,) = torch.autograd.grad(second, value)
        alpha = second / (2 * second + activation[0, place[1]].sum() * third)
        weights[place[1]] += (alpha * first.clamp(min=0)).detach()
    wanted = (weights[:, None, None] * activation[0]).sum(0).clamp(min=0)
    with GradCam(network, "1", plus_plus=True) as cam:
        logits = cam.logits(image)
        (found,) = cam.maps([0], [FINDING])
    assert wanted.max() > 0
    np.testing.assert_allclose(found * np.exp(float(logits[0, FINDING])), wanted.numpy(), rtol=1e-5)


def test_plus_plus_has_no_division_by_zero_where_the_last_map_is_negative() -> None:
    gradient, activation = torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), -1.0)  # 2 + 0.5 * -4 = 0
    assert weights_plus_plus(gradient, activation).item() == 1.0


def test_weights_of_plus_plus_are_those_of_the_package_grad_cam() -> None:
    reference = pytest.importorskip("pytorch_grad_cam", reason="the package grad-cam is not installed")
    torch.manual_seed(4)
    activation, gradient = torch.rand(2, 6, 4, 4, dtype=torch.float64), torch.randn(2, 6, 4, 4, dtype=torch.float64)
    gradient += 0.2 * gradient.sign()  # away from 0, for the package adds 1e-6 to the denominator
    wanted = reference.GradCAMPlusPlus.get_cam_weights(None, None, None, None, activation.numpy(), gradient.numpy())
    found = weights_plus_plus(gradient, activation)[:, :, 0, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.parametrize("name", ["resnet50_v1", "efficientnet_b0", "vgg16"])
def test_map_is_that_of_the_package_grad_cam(name: str) -> None:
    reference = pytest.importorskip("pytorch_grad_cam", reason="the package grad-cam is not installed")
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    spec = architecture(name)
    side = max(64, spec.minimum_size)
    network = small_network(name)
    images = torch.randn(2, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 50
    layers = [network.get_submodule(spec.last_conv)]
    with reference.GradCAM(model=network, target_layers=layers) as theirs:
        wanted = theirs(input_tensor=images, targets=[ClassifierOutputTarget(FINDING)] * 2)
    with GradCam(network, spec.last_conv) as cam:
        cam.logits(images)
        found = cam.maps([0, 1], [FINDING] * 2)
    # That package also enlarges a map to the image's size and scales it to 0..1.
    peaks = found.max(axis=(1, 2), keepdims=True)
    assert (peaks > 0).all()
    enlarged = scale_cam_image(found / peaks, (side, side))
    np.testing.assert_allclose(scaled(enlarged), scaled(wanted), atol=1e-3)


def scaled(maps: np.ndarray) -> np.ndarray:
    """Scales each map to a maximum of 1."""
    return maps / maps.max(axis=(1, 2), keepdims=True)
