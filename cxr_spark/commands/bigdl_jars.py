"""Prints BigDL's jar files, separated by commas: what spark-submit's --jars needs for `train --backend bigdl`."""

from __future__ import annotations

import argparse

from cxr_spark.bigdl.engine.installation import jars


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options: there are none."""


def run(args: argparse.Namespace) -> dict[str, object]:
    """Prints the names.

    Raises:
        UsageError: BigDL is not installed.
    """
    print(",".join(map(str, jars())))
    return {}
