"""Networks that compute in bfloat16 without rounding their input: the first convolution stays in float32."""

from __future__ import annotations

import torch
from torch import nn


class _Float32Conv2d(nn.Conv2d):
    """A convolution that computes in float32 also where autocast asks for another format, and returns that format."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kind = images.device.type
        wanted = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else images.dtype
        with torch.autocast(kind, enabled=False):
            output: torch.Tensor = super().forward(images.float())
        return output.to(wanted)


def compute_first_layer_in_float32(network: nn.Module) -> nn.Module:
    """Makes the convolution that sees the image compute in float32.

    Pixels less the mean, between -124 and 151, have steps of a half to one grey level in bfloat16. This rounding moves
    neighbouring pixels in the same way, so that it does not cancel out in the sums of the first convolution: it is what
    moves AUCs, far more than the rounding of all other layers together.

    Args:
        network: a network of `models.architectures` for inference; it is changed. Only its first convolution is, and
            only one of torch's own class: some of timm's networks begin with several, or with a class of their own.

    Returns:
        The network.
    """
    first = next((layer for layer in network.modules() if isinstance(layer, nn.Conv2d)), None)
    if type(first) is nn.Conv2d:
        first.__class__ = _Float32Conv2d
    return network
