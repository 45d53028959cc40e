"""What comes out of the layers of timm's networks: which image sizes they take, and where Grad-CAM's map is."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from cxr_spark.errors import ConfigError
from cxr_spark.models.empty import empty
from cxr_spark.models.timm_networks import create, timm_config


@lru_cache(maxsize=8)
def outputs(name: str, side: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Runs a network without storage and notes the output of each of its layers.

    Args:
        name: a name that `timm_config` accepts.
        side: side of the images, pixels.

    Returns:
        The name of each layer with an output and that output's shape, in the order in which they come.

    Raises:
        ConfigError: the network cannot take images of this size.
    """
    with empty():
        network = create(name).eval()
    found: list[tuple[str, tuple[int, ...]]] = []

    def note(layer: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                found.append((layer, tuple(output.shape)))

        return hook

    for layer, part in network.named_modules():
        part.register_forward_hook(note(layer))
    try:
        with empty(), torch.no_grad():
            network(torch.empty(1, 3, side, side))
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        own = timm_config(name).input_size[-1]
        raise ConfigError(
            f"model.input_size {side} does not go with {name} ({reason}): it was made for {own}"
        ) from None
    return tuple(found)


@lru_cache(maxsize=32)
def map_layer(name: str) -> str | None:
    """Finds the last layer whose output is a map over the image, which Grad-CAM is drawn of.

    That is the last output of four axes with two equal sides, if no list of patches follows. A vision transformer,
    whose layers have lists of patches throughout, has the first norm of its last block: behind it, only the patches'
    influence on the class token counts.

    Args:
        name: a name that `timm_config` accepts.

    Returns:
        The dotted name of the layer; None where there is none.
    """
    config = timm_config(name)
    shapes = outputs(name, config.input_size[-1])
    maps = [place for place, (layer, shape) in enumerate(shapes) if layer and _is_map(shape)]
    if maps and all(len(shape) != 3 for _, shape in shapes[maps[-1] :]):
        return shapes[maps[-1]][0]
    with empty():
        network = create(name)
    norms = [place for place, (layer, _) in enumerate(shapes) if re.fullmatch(r"blocks\.\d+\.norm1", layer)]
    if norms and hasattr(network, "num_prefix_tokens"):
        layer, shape = shapes[norms[-1]]
        patches = shape[1] - int(cast(Any, network).num_prefix_tokens) if len(shape) == 3 else 0
        if patches > 1 and math.isqrt(patches) ** 2 == patches:
            return layer
    return None


def _is_map(shape: tuple[int, ...]) -> bool:
    """Whether an output is (N, C, h, w) or (N, h, w, C) of a square image."""
    return len(shape) == 4 and (shape[2] == shape[3] > 1 or shape[1] == shape[2] > 1)
