"""Whether torch is installed: nodes that only prepare images need not have it."""

from __future__ import annotations

import importlib.util

from cxr_spark.errors import UsageError

_PACKAGES = ("torch", "torchvision")


def check_torch(user: str) -> None:
    """Checks, without importing them, that torch and torchvision are installed.

    Args:
        user: the command or function that needs them, as the message quotes it.

    Raises:
        UsageError: one is missing; the message says how to install it.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"`{user}` needs {' and '.join(missing)}, not installed in this environment: pip install 'cxr-spark[torch]'"
        )
