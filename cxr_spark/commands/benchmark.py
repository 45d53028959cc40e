"""Measures the images/s of each step on this machine, beside a plain loop that does the same without Spark.

Compare the ratios: absolute figures change with the machine and its load.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cxr_spark.outputs.job import Execution

if TYPE_CHECKING:
    from cxr_spark.benchmark.job import BenchmarkJob


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    add = parser.add_argument
    add("--out", required=True, metavar="URI", help="folder of the result")
    add("--images", type=int, default=512, metavar="N", help="synthetic images (default: 512)")
    add("--size", type=int, default=1024, metavar="PX", help="side of the images (default: 1024, as NIH's)")
    add("--input-size", type=int, default=224, metavar="PX", help="side of the network's input (default: 224)")
    add("--batch", type=int, default=16, metavar="N", help="images per step and per forward pass (default: 16)")
    add("--seed", type=int, default=42, metavar="N", help="seed of images and training (default: 42)")


def job(args: argparse.Namespace) -> BenchmarkJob:
    """Returns the job that the options ask for."""
    from cxr_spark.benchmark.job import BenchmarkJob

    return BenchmarkJob(
        args.out,
        args.images,
        args.size,
        args.input_size,
        args.batch,
        args.seed,
        jobs=Execution(args.master, args.spark_conf),
    )
