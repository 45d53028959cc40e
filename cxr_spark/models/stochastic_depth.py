"""Stochastic depth (Huang et al. 2016): training leaves out residual blocks at random, for each image others."""

from __future__ import annotations

from torch import nn

from cxr_spark.errors import ConfigError
from cxr_spark.models._torchvision import ops
from cxr_spark.models.timm_networks import set_drop_paths


def set_stochastic_depth(module: nn.Module, rate: float | None, architecture: str) -> None:
    """Sets how likely each block is left out: from 0 for the first one, linearly to `rate` for the last one.

    It is the linear rule of Huang et al., which torchvision's and timm's networks have, too. It matters in training
    only, so a model does not record it.

    Args:
        module: a network of `cxr_spark.models.architectures.build`; it is changed.
        rate: probability that the last block is left out; None keeps the architecture's own.
        architecture: name of the network, for the message.

    Raises:
        ConfigError: the network has no blocks that can be left out.
    """
    if rate is None:
        return
    if set_drop_paths(module, rate):  # timm's blocks, each of which knows its share
        return
    droppable = [part for part in module.modules() if isinstance(part, ops.StochasticDepth)]
    if not droppable:
        raise ConfigError(
            f"model.stochastic_depth={rate:g}: {architecture} has no blocks that can be left out: leave it unset, or "
            "use convnext_tiny or efficientnet_b0"
        )
    for position, part in enumerate(droppable):
        part.p = rate * position / max(1, len(droppable) - 1)
