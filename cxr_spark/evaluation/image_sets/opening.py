"""Reads predictions, and decides whether the driver or Spark holds them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from cxr_spark.evaluation.image_sets.base import ImageSet
from cxr_spark.evaluation.image_sets.on_driver import DriverImages
from cxr_spark.evaluation.reading.images import IMAGES, ArrowFunction, checker
from cxr_spark.evaluation.reading.predictions import Predictions
from cxr_spark.evaluation.reading.rows import then

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: The number of pairs of image and finding up to which the driver measures by itself. NIH's official test set has
#: 384,000. Counting them takes about 500 bytes for each pair.
MOST_PAIRS = 1_000_000


def open_images(
    every: Sequence[Predictions], session: Callable[[], SparkSession], *, most_pairs: int = MOST_PAIRS
) -> list[ImageSet]:
    """Reads predictions, joins their labels, and writes down every fault.

    All are held in one place: by the driver where each of them has few pairs of image and finding, else by Spark.

    Args:
        every: the predictions.
        session: gives the Spark session; it is called only where the predictions are many.
        most_pairs: the number of pairs up to which the driver holds predictions.

    Returns:
        The images of each; to be kept (`ImageSet.kept`) by whoever reads them more than once.
    """
    tables = []
    for predictions in every:
        table = _few(predictions, most_pairs)
        if table is None:
            return [_in_spark(each, session()) for each in every]
        tables.append(table)
    log.info("%s images are measured without Spark", " and ".join(f"{table.num_rows:,}" for table in tables))
    return [DriverImages(table) for table in tables]


def _few(predictions: Predictions, most_pairs: int) -> pa.Table | None:
    """Reads predictions; None where there are more than the driver takes."""
    if len(predictions.reader.table.tasks) > 1:
        return None
    batches: list[pa.RecordBatch] = []
    left = most_pairs
    for batch in _function(predictions)([pa.record_batch([pa.array([0])], ["id"])]):
        left -= batch.num_rows * len(predictions.findings)
        if left < 0:
            return None
        batches.append(batch)
    return pa.Table.from_batches(batches, IMAGES)


def _in_spark(predictions: Predictions, spark: SparkSession) -> ImageSet:
    from cxr_spark.evaluation.image_sets.on_spark import SparkImages
    from cxr_spark.runtime.spark_schema import to_spark

    n = len(predictions.reader.table.tasks)
    # One row a task: its position among the tasks of the table, each in a partition of its own.
    return SparkImages(spark.range(0, n, 1, n).mapInArrow(_function(predictions), to_spark(IMAGES)))


def _function(predictions: Predictions) -> ArrowFunction:
    return then(predictions.reader, checker(predictions.findings, predictions.truth))
