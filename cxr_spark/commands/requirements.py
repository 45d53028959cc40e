"""Packages that only some commands need: whether they are installed is known before a command starts."""

from __future__ import annotations

import argparse

from cxr_spark.runtime.requirements import check_torch

#: These run networks by torch. All others do without it, which a node that only prepares images need not have; `score`
#: looks itself for the library that it is to compute by.
NEED_TORCH = frozenset({"train", "explain", "pipeline", "import-weights", "benchmark"})


def check_requirements(args: argparse.Namespace) -> None:
    """Checks that the packages that a command needs are installed.

    Args:
        args: the command, with `--help` and wrong options behind it.

    Raises:
        UsageError: one is missing; the message says how to install it.
    """
    if args.command not in NEED_TORCH:
        return
    check_torch(f"cxr-spark {args.command}")
