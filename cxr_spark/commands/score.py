"""Writes the probabilities of every finding for every image, of prepared data or of raw image files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cxr_spark.commands.options import add_settings, values

if TYPE_CHECKING:
    from cxr_spark.scoring.job import ScoreJob

SETTINGS = (
    *("split", "image_index", "batch", "engine", "precision", "average", "tta", "calibrate", "calibration_data"),
    *("format", "columns", "thresholds", "operating_point"),
)
_OWN = ("data", "images", "model", "out", "incremental")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="URI", help="output of the prepare job")
    source.add_argument("--images", metavar="URI", action="append", help="folder or glob of raw images; repeatable")
    parser.add_argument(
        "--model",
        metavar="URI",
        action="append",
        required=True,
        help="model folder: RUN/model of the train job; repeatable: the probabilities of several models are averaged; "
        "the folder of a cross-validation stands for the models of all its folds",
    )
    parser.add_argument("--out", metavar="URI", required=True, help="folder of the predictions")
    add_settings(parser, "score", SETTINGS)
    parser.add_argument(
        "--incremental",
        action="store_true",
        help="add to --out the raw images that are new or have changed since this model scored them, each exactly once",
    )


def job(args: argparse.Namespace) -> ScoreJob:
    """Returns the job that the options ask for.

    Raises:
        UsageError: options contradict each other, or what computes the probabilities is not installed here.
    """
    from cxr_spark.scoring.job import ScoreJob

    return ScoreJob.from_options(args.settings, **values(args, (*_OWN, *SETTINGS)))
