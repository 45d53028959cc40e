"""Packages that only some commands need: whether they are installed is known before a command starts."""

from __future__ import annotations

import argparse
import importlib.util

from cxr_spark.errors import UsageError

#: These run networks. All others do without torch, which a node that only prepares images need not have.
NEED_TORCH = frozenset({"train", "score", "explain", "pipeline", "import-weights", "benchmark"})
_PACKAGES = ("torch", "torchvision")


def check_requirements(args: argparse.Namespace) -> None:
    """Checks that the packages that a command needs are installed.

    Args:
        args: the command, with `--help` and wrong options behind it.

    Raises:
        UsageError: one is missing; the message says how to install it.
    """
    if args.command not in NEED_TORCH or getattr(args, "check", False):
        return
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"`cxr-spark {args.command}` needs {' and '.join(missing)}, not installed in this environment: "
            "pip install 'cxr-spark[torch]'"
        )
