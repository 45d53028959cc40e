"""The names of networks, which can be checked where torch is not installed, too."""

from __future__ import annotations

import importlib.util
import re

from cxr_spark.config.model import ARCHITECTURE_NAMES
from cxr_spark.errors import ConfigError

TIMM_PREFIX = "timm/"
#: What a name of timm's may look like. Those with other characters are places in timm's eyes, such as a hub on the
#: internet.
_TIMM_NAME = re.compile(r"timm/[A-Za-z0-9_]{1,100}(\.[A-Za-z0-9_]{1,100})?")


def is_timm(name: str) -> bool:
    """Whether a value of `model.architecture` asks for a network of timm."""
    return name.startswith(TIMM_PREFIX)


def timm_is_installed() -> bool:
    """Whether timm, and torch that it needs, can be imported in this process."""
    return all(importlib.util.find_spec(package) is not None for package in ("torch", "timm"))


def check_looks(name: str) -> None:
    """Checks that a name may be one of timm's, which need not be installed.

    Raises:
        ConfigError: it has other characters, or too many.
    """
    if not _TIMM_NAME.fullmatch(name):
        raise ConfigError(
            f"model.architecture {name[:200]!r} is no name of timm's: expected timm/NAME, such as timm/resnet10t, or "
            "timm/NAME.TAG"
        )


def check_recorded_name(name: str) -> None:
    """Checks the name of the network that a model's file has.

    Raises:
        ValueError: there is no such network. Where timm is not installed, its names are checked by their looks.
    """
    if not is_timm(name):
        if name not in ARCHITECTURE_NAMES:
            raise ValueError(f"unknown architecture {name!r}")
        return
    try:
        check_looks(name)
        if timm_is_installed():
            from cxr_spark.models.timm_networks import timm_config  # it needs torch

            timm_config(name)
    except ConfigError as error:
        raise ValueError(str(error)) from None
