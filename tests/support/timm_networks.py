"""timm's own networks, and what they make of an image. Whoever imports this is skipped where timm is not installed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torchvision.transforms.v2.functional import normalize

from cxr_spark.imaging.imagenet import IMAGENET_MEAN_BGR
from cxr_spark.models.metadata import BuildArguments, ModelMetadata, Preprocessing

timm = pytest.importorskip("timm")


def images(side: int, count: int = 2) -> torch.Tensor:
    """RGB images of 0 to 255, float32 (count, 3, side, side)."""
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(3)).float()


def as_bgr(rgb: torch.Tensor) -> torch.Tensor:
    return rgb.flip(1) - torch.tensor(IMAGENET_MEAN_BGR).reshape(3, 1, 1)


def own_network(name: str, n_outputs: int, **arguments: Any) -> nn.Module:
    """timm's own network with random weights, and batch norm statistics that are not those of a new one."""
    torch.manual_seed(2)
    network = timm.create_model(name, num_classes=n_outputs, **arguments)
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return network.eval()


def expected(network: nn.Module, name: str, rgb: torch.Tensor) -> torch.Tensor:
    """timm's logits of images that were normalised as timm says."""
    config = timm.get_pretrained_cfg(name)
    with torch.inference_mode():
        return network(normalize(rgb / 255, list(config.mean), list(config.std)))


def metadata(name: str, side: int) -> ModelMetadata:
    return ModelMetadata(
        architecture=name,
        findings=("A", "B", "C"),
        preprocessing=Preprocessing(input_size=side, stored_size=side),
        build=BuildArguments(dropout=0.25, hidden=(4,)),
    )
