"""The networks of timm, by its own names: `model.architecture: timm/NAME`, or `timm/NAME.TAG` for weights of that tag.

timm is an optional package, imported only where such a name is used. A network keeps timm's names of its layers. It
takes the program's one input by a step of its own in front of its first layer, see `take_bgr`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from cxr_spark.errors import ConfigError
from cxr_spark.imaging.imagenet import IMAGENET_MEAN_BGR
from cxr_spark.models.names import TIMM_PREFIX, check_looks, timm_is_installed

#: The buffers by which a network takes the program's input.
SCALE, SHIFT = "bgr_scale", "bgr_shift"


def timm_config(name: str) -> Any:
    """Looks a network of timm up.

    Args:
        name: `timm/NAME` or `timm/NAME.TAG`.

    Returns:
        timm's `PretrainedCfg`: input size, mean, std, and the names of its first and last layer.

    Raises:
        ConfigError: timm is not installed here, has no such network, or has it in a form that cannot be trained.
    """
    check_looks(name)
    if not timm_is_installed():
        raise ConfigError(
            f"model.architecture {name!r} needs timm, not installed in this environment: pip install 'cxr-spark[timm]'"
        )
    timm = import_module("timm")
    plain, _, tag = name.removeprefix(TIMM_PREFIX).partition(".")
    known: list[str] = timm.list_models()
    if plain not in known:
        near = difflib.get_close_matches(plain, known, n=3)
        meant = " or ".join(TIMM_PREFIX + one for one in near)
        hint = f"did you mean {meant}?" if near else "timm.list_models() lists them"
        raise ConfigError(f"model.architecture {name!r}: timm {timm.__version__} has no network {plain!r}: {hint}")
    if tag and f"{plain}.{tag}" not in (tagged := timm.list_models(f"{plain}.*", include_tags=True)):
        raise ConfigError(
            f"model.architecture {name!r}: timm {timm.__version__} has no tag {tag!r} of {plain}: expected "
            f"{TIMM_PREFIX}{plain} or one of {', '.join(TIMM_PREFIX + one for one in tagged[:10]) or 'none'}"
        )
    config = timm.get_pretrained_cfg(name.removeprefix(TIMM_PREFIX))
    if config is None or not isinstance(config.classifier, str):
        raise ConfigError(
            f"model.architecture {name!r} has no classifier of one layer that could be replaced: choose another network"
        )
    if config.input_size[0] != 3 or config.input_size[1] != config.input_size[2]:
        raise ConfigError(
            f"model.architecture {name!r} takes images of {' x '.join(map(str, config.input_size))} values: choose a "
            "network for square images of three colours"
        )
    return config


def create(name: str) -> nn.Module:
    """Makes a network of timm with random weights, 1000 outputs and timm's own mean and std.

    Dropout is left to the head, and so many blocks are left out in training as `set_stochastic_depth` says, which is
    none at first. Networks made for images of one size interpolate their positions for others, where timm can.

    Args:
        name: a name that `timm_config` accepts.
    """
    config = timm_config(name)
    # With a rate of 1 the probability of a block is its share of whatever rate is wanted.
    arguments: list[dict[str, Any]] = [{"drop_path_rate": 1.0}, {}]
    if config.fixed_input_size:
        arguments = [{**each, "dynamic_img_size": True} for each in arguments] + arguments
    timm = import_module("timm")
    for position, each in enumerate(arguments):
        try:
            network: nn.Module = timm.create_model(
                name.removeprefix(TIMM_PREFIX), pretrained=False, num_classes=1000, drop_rate=0.0, **each
            )
            break
        except TypeError:  # this network does not know one of the arguments
            if position == len(arguments) - 1:
                raise
    parts: list[Any] = list(network.modules())
    for part in parts:
        if type(part).__name__ == "DropPath":
            part.share_of_depth = part.drop_prob
            part.drop_prob = 0.0
    take_bgr(network, config.mean, config.std)
    return network


def take_bgr(network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
    """Lets a network for normalised RGB, (rgb / 255 - mean) / std, take ImageNet-mean BGR images.

    Its first layer gets the same values as in timm, at the borders of the image, too. Both factors are buffers, so a
    file of weights has those that it was made with.

    Args:
        network: the network; it is changed.
        mean: the means of R, G and B, for pixels of 0 to 1.
        std: the standard deviations of R, G and B, for pixels of 0 to 1.
    """
    for name, values in input_buffers(mean, std).items():
        network.register_buffer(name, values.to(torch.empty(0).device))
    network.register_forward_pre_hook(_normalise)


def input_buffers(mean: Sequence[float], std: Sequence[float]) -> dict[str, Tensor]:
    """Returns the two buffers of `take_bgr`, float32 (3, 1, 1), on the CPU."""
    found = {}
    for name, value in ((SCALE, _scales(std)), (SHIFT, _shifts(mean, std))):
        found[name] = torch.tensor(value, dtype=torch.float32, device="cpu").reshape(3, 1, 1)
    return found


def _scales(std: Sequence[float]) -> list[float]:
    return [1 / (255 * each) for each in std]


def _shifts(mean: Sequence[float], std: Sequence[float]) -> list[float]:
    imagenet_rgb = IMAGENET_MEAN_BGR[::-1]
    return [(m / 255 - wanted) / each for m, wanted, each in zip(imagenet_rgb, mean, std, strict=True)]


def _normalise(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor]:
    return (torch.addcmul(network.get_buffer(SHIFT), inputs[0].flip(1), network.get_buffer(SCALE)),)


def is_timm_network(module: nn.Module) -> bool:
    """Whether a network was made by `create`."""
    return hasattr(module, SCALE)


def set_drop_paths(module: nn.Module, rate: float) -> bool:
    """Sets how often blocks are left out in training: so often for the last one, and linearly less before it.

    Returns:
        Whether the network has such blocks.
    """
    parts: list[Any] = [part for part in module.modules() if hasattr(part, "share_of_depth")]
    for part in parts:
        part.drop_prob = rate * part.share_of_depth
    return bool(parts)
