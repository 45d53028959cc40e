"""Sums up the grey values of a prepared dataset: their histogram and the mean image of each split."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cxr_spark.exploration.task import Files, PixelSummer, Sums
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import SPLITS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: The number of tasks for each core.
_TASKS_PER_CORE = 2


def sum_pixels(spark: SparkSession, dataset: PreparedDataset) -> dict[str, Sums]:
    """Sums up the pixels of all images of each split that has any.

    Raises:
        DataError: a file is damaged.
        RunError: a file cannot be read.
    """
    started = time.monotonic()
    parts = _parts(dataset, int(spark.sparkContext.defaultParallelism))
    hashes = {name: dataset.sha256(name) for part in parts for name in part.names}
    summer = PixelSummer(dataset.store.uri, dataset.size, hashes)
    found: dict[str, Sums] = {}
    for sums in run_parts(spark, parts, summer, "summing up pixels"):
        if sums.images:
            found[sums.split] = found[sums.split] + sums if sums.split in found else sums
    images = sum(sums.images for sums in found.values())
    log.info("summed up the pixels of %d images in %.1f s", images, time.monotonic() - started)
    return found


def _parts(dataset: PreparedDataset, cores: int) -> list[Files]:
    """Spreads each split's files over so few tasks that they send little to the driver, however large the data is."""
    parts = []
    for split in SPLITS:
        names = dataset.files(split)
        tasks = min(len(names), _TASKS_PER_CORE * cores)
        parts += [Files(split, tuple(names[i::tasks])) for i in range(tasks)]
    return parts
