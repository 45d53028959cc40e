"""Makes a synthetic chest X-ray set in NIH's own layout, to try everything else with.

Pictures, label file, boxes and lists say or are accompanied by a notice that they are synthetic. The same options give
the same bytes.
"""

from __future__ import annotations

import argparse

from cxr_spark.sample_data.job import MAX_IMAGES, MAX_SIZE, MIN_IMAGES, MIN_SIZE, SampleDataJob


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the set; must be empty or new")
    parser.add_argument(
        "--images", type=int, default=600, metavar="N", help=f"images, {MIN_IMAGES} to {MAX_IMAGES:,} (default: 600)"
    )
    parser.add_argument(
        "--size", type=int, default=128, metavar="PX", help=f"side in pixels, {MIN_SIZE} to {MAX_SIZE} (default: 128)"
    )
    parser.add_argument("--seed", type=int, default=42, metavar="N", help="seed of all that is drawn (default: 42)")


def job(args: argparse.Namespace) -> SampleDataJob:
    """Returns the job that the options ask for."""
    return SampleDataJob(args.out, args.images, args.size, args.seed)
