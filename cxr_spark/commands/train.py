"""Fine-tunes a network on prepared data, on one rank a worker, and goes on where a killed run stopped."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cxr_spark.commands.options import add_settings, values

if TYPE_CHECKING:
    from cxr_spark.training.cross_validation.job import CrossValidationJob
    from cxr_spark.training.job import TrainJob
    from cxr_spark.training.range_test.job import RangeTestJob

SETTINGS = ("backend", "workers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--data", required=True, metavar="URI", help="output of the prepare job")
    parser.add_argument(
        "--out",
        required=True,
        metavar="URI",
        help="folder of this run; with --folds the folder of the whole cross-validation: the run of each fold, their "
        "out-of-fold scores and cross_validation.json",
    )
    add_settings(parser, "train", SETTINGS)
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="cross-validation by patient: divide the images of train and val into K folds, train a model for each "
        "fold on all others in OUT/fold_1 to OUT/fold_K, and score each image by the model that has not seen it",
    )
    either.add_argument(
        "--find-rate",
        type=int,
        metavar="STEPS",
        help="instead of a training: do STEPS of its steps, such as 100, with a learning rate that grows from 1e-7 to "
        "1, write the losses to learning_rates.json and .png in OUT, and suggest a rate",
    )


def job(args: argparse.Namespace) -> TrainJob | CrossValidationJob | RangeTestJob:
    """Returns the job that the options ask for."""
    from cxr_spark.spark_ml.training import train_job
    from cxr_spark.training.cross_validation.job import CrossValidationJob
    from cxr_spark.training.range_test.job import RangeTestJob

    training = train_job(args.settings, data=args.data, out=args.out, **values(args, SETTINGS))
    if args.find_rate is not None:
        return RangeTestJob.of(training, args.find_rate)
    return training if args.folds is None else CrossValidationJob.of(training, args.folds)
