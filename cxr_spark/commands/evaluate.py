"""AUCs with intervals, precision, recall, F1, plots and a report from predictions: of score, or of any other tool."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cxr_spark.commands.options import COLUMNS, add_settings, values

if TYPE_CHECKING:
    from cxr_spark.evaluation.job import EvaluateJob

SETTINGS = (
    *("baseline", "data", "explanations", "pictures", "split", "test_list", "train_list"),
    *("task", "calibration", "index_column", "prob_prefix", "replicates", "seed"),
)
#: Settings of `prepare` that tell how labels are read.
LABELLING = ("dataset", *COLUMNS)
_OWN = ("predictions", "out", "labels")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    add = parser.add_argument
    add(
        "--predictions",
        required=True,
        metavar="URI",
        help="output of the score job; or a table (Parquet, or text such as CSV) with `Image Index` and `prob_FINDING` "
        "columns",
    )
    add(
        "--out",
        required=True,
        metavar="URI",
        help="folder of report.html, metrics.json, the plots, and the tables as CSV and LaTeX",
    )
    add(
        "--labels",
        metavar="URI",
        action="append",
        help="label file, gzipped or not, for predictions that carry no labels; repeatable; for class folders the "
        "folder above them",
    )
    add_settings(parser, "prepare", LABELLING)
    add_settings(parser, "evaluate", SETTINGS)
    add(
        "--logits",
        dest="scores",
        action="store_const",
        const="logits",
        help="the numbers in another tool's predictions are logits, not probabilities",
    )


def job(args: argparse.Namespace) -> EvaluateJob:
    """Returns the job that the options ask for."""
    from cxr_spark.evaluation.job import EvaluateJob
    from cxr_spark.training.tracking.report import report_logger

    options = values(args, (*_OWN, "scores", *SETTINGS))
    log_report = report_logger(args.settings.train.mlflow)
    return EvaluateJob.from_options(args.settings, labelling=values(args, LABELLING), log_report=log_report, **options)
