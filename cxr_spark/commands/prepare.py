"""Reads, checks and resizes images, joins their labels, splits by patient, and writes a prepared dataset."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cxr_spark.commands.options import COLUMNS, add_settings, values

if TYPE_CHECKING:
    from cxr_spark.preparation.job import PrepareJob

SETTINGS = (
    "images", "labels", "dataset", "split", "train_list", "test_list", "val_fraction", "test_fraction", "size",
    "resize", "seed", "max_bad_fraction", *COLUMNS,
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--out", metavar="URI", required=True, help="folder of the prepared dataset")
    add_settings(parser, "prepare", SETTINGS)


def job(args: argparse.Namespace) -> PrepareJob:
    """Returns the job that the options ask for."""
    from cxr_spark.preparation.job import PrepareJob

    return PrepareJob.from_options(args.settings, out=args.out, **values(args, SETTINGS))
