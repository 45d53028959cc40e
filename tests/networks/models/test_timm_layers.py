"""Networks of timm: Grad-CAM's layer, sizes of images, what is frozen and what is left out at random."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cxr_spark.errors import ConfigError, UsageError
from cxr_spark.explanation.gradcam import GradCam
from cxr_spark.explanation.layers import check_layers
from cxr_spark.models.architectures import build, check_input_size, map_layer
from cxr_spark.models.freezing import freeze
from cxr_spark.models.stochastic_depth import set_stochastic_depth
from tests.support.timm_networks import as_bgr, images, metadata, timm


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


def test_dropout_stands_before_the_classifier_alone() -> None:
    network = build("timm/test_vit", 3, dropout=0.25)
    assert [part.p for part in network.modules() if isinstance(part, nn.Dropout) and part.p] == [0.25]


@pytest.mark.parametrize("name", ["test_vit", "resnet10t"])
def test_blocks_are_left_out_as_often_as_in_timms_network(name: str) -> None:
    network = build(f"timm/{name}", 3)
    assert all(part.drop_prob == 0 for part in network.modules() if isinstance(part, timm.layers.DropPath))
    set_stochastic_depth(network, 0.3, f"timm/{name}")
    own = timm.create_model(name, drop_path_rate=0.3)
    wanted = [part.drop_prob for part in own.modules() if isinstance(part, timm.layers.DropPath)]
    assert wanted
    found = [part.drop_prob for part in network.modules() if isinstance(part, timm.layers.DropPath)]
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
