"""The networks that can be trained, by name: how one is looked up and built, whatever package it is from."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from functools import lru_cache, partial

import torch
from torch import nn

from cxr_spark.errors import ConfigError
from cxr_spark.models import timm_layers, timm_networks
from cxr_spark.models.empty import empty
from cxr_spark.models.head import Head
from cxr_spark.models.names import is_timm
from cxr_spark.models.torchvision_networks import ARCHITECTURES, TRANSFORMED_INPUT, Architecture

__all__ = [
    "ARCHITECTURES",
    "TRANSFORMED_INPUT",
    "Architecture",
    "architecture",
    "batch_norm_epsilon_of",
    "batch_norms",
    "build",
    "build_empty",
    "check_input_size",
    "map_layer",
]


def architecture(name: str) -> Architecture:
    """Looks an architecture up.

    Args:
        name: a key of `ARCHITECTURES`, or `timm/NAME`.

    Raises:
        ConfigError: there is none of that name, or timm is needed and not installed.
    """
    if is_timm(name):
        return _timm_architecture(name)
    if name not in ARCHITECTURES:
        near = difflib.get_close_matches(name, ARCHITECTURES, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ConfigError(
            f"unknown architecture {name!r}{hint}: expected one of {', '.join(ARCHITECTURES)}, or timm/NAME"
        )
    return ARCHITECTURES[name]


@lru_cache(maxsize=32)
def _timm_architecture(name: str) -> Architecture:
    config = timm_networks.timm_config(name)
    return Architecture(
        name=name,
        create=partial(timm_networks.create, name),
        input_size=config.input_size[-1],
        minimum_size=1,  # `check_input_size` tries
        stem="",
        stem_norm=None,
        last_conv="",
        classifier=config.classifier,
        rgb_mean=tuple(config.mean),
        rgb_std=tuple(config.std),
        sets_own_dropout=False,
    )


def check_input_size(name: str, side: int) -> None:
    """Makes sure that a network can take images of a size.

    Args:
        name: a key of `ARCHITECTURES`, or `timm/NAME`.
        side: side of the images, pixels.

    Raises:
        ConfigError: it cannot, or there is no such network.
    """
    known = architecture(name)
    if side < known.minimum_size:
        raise ConfigError(
            f"model.input_size {side} is too small for {known.name}: it needs {known.minimum_size} or more"
        )
    if is_timm(name):
        timm_layers.outputs(name, side)


def map_layer(name: str) -> str | None:
    """Returns the dotted name of the layer that Grad-CAM is drawn of; None where a network of timm has no such layer.

    Raises:
        ConfigError: there is no such network.
    """
    known = architecture(name)
    return timm_layers.map_layer(name) if is_timm(name) else known.last_conv


def build(
    name: str,
    n_outputs: int,
    *,
    dropout: float = 0.0,
    hidden: Sequence[int] = (),
    batch_norm_epsilon: float | None = None,
    seed: int = 0,
) -> nn.Module:
    """Makes a network with random weights.

    It takes float32 ImageNet-mean BGR images (N, 3, H, W): 0 to 255 less (103.939, 116.779, 123.68), and gives
    float32 logits (N, n_outputs).

    Args:
        name: a key of `ARCHITECTURES`, or `timm/NAME`.
        n_outputs: number of logits.
        dropout: probability of every dropout layer in front of the classifier; one is added to networks without any.
        hidden: widths of extra fully connected layers (with ReLU) before the outputs.
        batch_norm_epsilon: epsilon of all batch norms; None keeps the architecture's own. Imported weights record
            the one that they were trained with.
        seed: the same seed gives the same weights; the global random generator is left as it was.

    Raises:
        ConfigError: unknown architecture, or an argument out of range.
    """
    if n_outputs < 1:
        raise ConfigError(f"a network needs at least one output, got {n_outputs}")
    if not 0.0 <= dropout < 1.0:
        raise ConfigError(f"model.dropout {dropout!r} is out of range: expected 0 <= dropout < 1")
    if any(width < 1 for width in hidden):
        raise ConfigError(f"model.hidden {list(hidden)!r} has a width below 1")
    if batch_norm_epsilon is not None and not (math.isfinite(batch_norm_epsilon) and batch_norm_epsilon > 0):
        raise ConfigError(f"batch_norm_epsilon {batch_norm_epsilon!r} is out of range: expected a number above 0")
    spec = architecture(name)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: that would seed the accelerators' generators as well.
        torch.default_generator.manual_seed(seed)
        network = spec.create()
        own_dropouts = [m for m in network.modules() if isinstance(m, nn.Dropout) and spec.sets_own_dropout]
        in_features = _features_into(network.get_submodule(spec.classifier), spec)
        extra_dropout = dropout if hidden or not own_dropouts else 0.0
        network.set_submodule(spec.classifier, Head(in_features, n_outputs, hidden=hidden, dropout=extra_dropout))
    for layer in own_dropouts:
        layer.p = dropout
    if batch_norm_epsilon is not None:
        for module in batch_norms(network):
            module.eps = batch_norm_epsilon
    return network


def _features_into(classifier: nn.Module, spec: Architecture) -> int:
    if isinstance(classifier, nn.Linear):
        return classifier.in_features
    if isinstance(classifier, nn.Conv2d) and classifier.kernel_size == (1, 1):
        return classifier.in_channels
    raise ConfigError(
        f"model.architecture {spec.name!r}: its classifier {spec.classifier!r} is {type(classifier).__name__}, which "
        "cannot be replaced: choose another network"
    )


def build_empty(
    name: str,
    n_outputs: int,
    *,
    dropout: float = 0.0,
    hidden: Sequence[int] = (),
    batch_norm_epsilon: float | None = None,
) -> nn.Module:
    """Makes a network without storage (on the meta device): shapes to check weights by, or to load them into.

    Random initialisation takes longer than reading the weights that would replace it. Arguments and errors as `build`.
    """
    with empty():
        return build(name, n_outputs, dropout=dropout, hidden=hidden, batch_norm_epsilon=batch_norm_epsilon)


def batch_norms(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Returns the batch norm layers of a network, in its order."""
    return [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def batch_norm_epsilon_of(module: nn.Module) -> float | None:
    """Returns the epsilon that all batch norms of a network share; None if it has none, or several."""
    found = {m.eps for m in batch_norms(module)}
    return found.pop() if len(found) == 1 else None
