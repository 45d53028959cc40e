"""Shows where in an image a model finds its evidence: Grad-CAM or Grad-CAM++, maps of layers, overlaps with boxes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cxr_spark.commands.options import add_settings, values

if TYPE_CHECKING:
    from cxr_spark.explanation.job import ExplainJob

SETTINGS = (
    "boxes", "finding", "method", "layers", "split", "only", "limit", "image_index", "box_side", "threshold", "batch",
    "image_list", "sanity",
)  # fmt: skip
_OWN = ("data", "images", "model", "out")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="URI", help="output of the prepare job")
    source.add_argument("--images", metavar="URI", action="append", help="folder or glob of raw images; repeatable")
    add = parser.add_argument
    add("--model", metavar="URI", required=True, help="model folder: RUN/model of the train job")
    add(
        "--out",
        metavar="URI",
        required=True,
        help="folder of the pictures, one an image, of index.html and of localization.json",
    )
    add_settings(parser, "explain", SETTINGS)


def job(args: argparse.Namespace) -> ExplainJob:
    """Returns the job that the options ask for."""
    from cxr_spark.explanation.job import ExplainJob

    return ExplainJob.from_options(args.settings, **values(args, (*_OWN, *SETTINGS)))
