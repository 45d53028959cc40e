"""Which layers are trained and which stay as they are."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from torch import nn

from cxr_spark.errors import ConfigError
from cxr_spark.models.architectures import batch_norms
from cxr_spark.models.head import head_name

FreezeSpec = str | Mapping[Any, Any]


def layer_names(module: nn.Module) -> list[str]:
    """Returns the dotted names of all layers with parameters of their own, from the input to the output.

    A convolution and the batch norm behind it count as two layers.
    """
    return [name for name, layer in module.named_modules() if next(layer.parameters(recurse=False), None) is not None]


def freeze(module: nn.Module, spec: FreezeSpec) -> list[str]:
    """Sets which parameters are trained. Call it before the network is wrapped for distributed training.

    Args:
        module: a network of `cxr_spark.models.architectures.build`.
        spec: `none`: train all; `backbone`: train the head only; `{"until": LAYER}`: freeze from the input up to and
            with LAYER, a layer or a block such as `layer3`; `{"last": N}`: train the last N layers only.

    Returns:
        The names of the frozen layers, from the input on.

    Raises:
        ConfigError: the specification is malformed, names no layer, or leaves nothing to train.
    """
    layers = layer_names(module)
    frozen = layers[: _boundary(module, layers, spec)]
    if len(frozen) == len(layers):
        raise ConfigError(f"model.freeze {spec!r} leaves no layer to train: the last one is {layers[-1]!r}")
    held = set(frozen)
    for name in layers:
        for parameter in module.get_submodule(name).parameters(recurse=False):
            parameter.requires_grad_(name not in held)
    return frozen


def set_train_mode(module: nn.Module) -> None:
    """Puts a network into training mode, frozen batch norms excepted: they must keep their statistics, too."""
    module.train()
    for layer in batch_norms(module):
        if not any(parameter.requires_grad for parameter in layer.parameters()):
            layer.eval()


def _boundary(module: nn.Module, layers: list[str], spec: FreezeSpec) -> int:
    """Returns how many of the layers, counted from the input, are frozen."""
    if spec == "none":
        return 0
    if spec == "backbone":
        head = head_name(module)
        return next(i for i, name in enumerate(layers) if name.startswith(f"{head}."))
    if isinstance(spec, Mapping) and len(spec) == 1:
        if "until" in spec:
            return _end_of(str(spec["until"]), module, layers)
        count = spec.get("last")
        if isinstance(count, int) and not isinstance(count, bool):
            if not 1 <= count <= len(layers):
                raise ConfigError(f"model.freeze last={count} is out of range: the network has {len(layers)} layers")
            return len(layers) - count
    raise ConfigError(
        f'model.freeze {spec!r} is not understood: expected none, backbone, {{"until": LAYER}} or {{"last": N}}'
    )


def _end_of(block: str, module: nn.Module, layers: list[str]) -> int:
    members = [i for i, name in enumerate(layers) if name == block or name.startswith(f"{block}.")]
    if not members or not block:
        named = [name for name, _ in module.named_modules() if name]
        blocks = [name for name, _ in module.named_children()]
        near = difflib.get_close_matches(block, named, n=3) or blocks
        raise ConfigError(f"model.freeze until={block!r} is no layer of the network: near names are {', '.join(near)}")
    return members[-1] + 1
