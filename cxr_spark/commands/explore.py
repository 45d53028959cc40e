"""Shows what is in a prepared dataset: class balance, co-occurrence, patients, ages, views, shapes, grey values."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cxr_spark.exploration.job import ExploreJob


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--data", metavar="URI", required=True, help="output of the prepare job")
    parser.add_argument("--out", metavar="URI", required=True, help="folder of explore.json, explore.html and plots")


def job(args: argparse.Namespace) -> ExploreJob:
    """Returns the job that the options ask for."""
    from cxr_spark.exploration.job import ExploreJob

    return ExploreJob(args.data, args.out)
