"""Shows what is in a prepared dataset: class balance, patients, ages, views, shapes, grey values and examples."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cxr_spark.commands.options import add_settings, values

if TYPE_CHECKING:
    from cxr_spark.exploration.job import ExploreJob

SETTINGS = ("pictures",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--data", metavar="URI", required=True, help="output of the prepare job")
    parser.add_argument("--out", metavar="URI", required=True, help="folder of explore.json, explore.html and plots")
    add_settings(parser, "explore", SETTINGS)


def job(args: argparse.Namespace) -> ExploreJob:
    """Returns the job that the options ask for."""
    from cxr_spark.exploration.job import ExploreJob

    return ExploreJob.from_options(args.settings, **values(args, ("data", "out", *SETTINGS)))
