"""Runs the jobs of a settings file in order, each as an application of its own; finished ones are left alone."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--check", action="store_true", help="check settings and inputs, tell all problems, and stop")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Checks everything, runs the jobs and returns what each one said."""
    from cxr_spark.recipes.job import run_pipeline  # loads torch, which is not needed for the help

    result = run_pipeline(
        args.config,
        args.set,
        check=args.check,
        overwrite=args.overwrite,
        debug=args.debug,
        master=args.master,
        conf=args.spark_conf,
    )
    return result.summary()
