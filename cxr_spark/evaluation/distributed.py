"""Exact curves of predictions of any size: Spark sorts the scores into ranges, executors count, the driver adds up.

Only counts come to the driver: one row a range, never a row an image.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cxr_spark.evaluation.buckets import BUCKETS, Curve, Plan, Ranges, combine, counter
from cxr_spark.schema import to_spark

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

log = logging.getLogger(__name__)

#: The curve of all (image, finding) pairs together.
MICRO = -1
#: Pairs of one partition: some 100 MB in the executor's Python process, and half a second of work.
_PAIRS_PER_PARTITION = 1_000_000


def curve_number(finding: int, group: int, n_findings: int) -> int:
    """Returns the number of the curve of a finding among all images (group 0) or in a subgroup (1, 2, ...)."""
    return group * n_findings + finding


def pairs_of(predictions: DataFrame, n_findings: int, groups: Sequence[Column]) -> DataFrame:
    """Spreads predictions to one row for each curve and image with a known label.

    Args:
        predictions: columns `patient` (64-bit key), `labels` and `scores` (arrays of doubles, NaN label: not known).
        n_findings: length of both arrays.
        groups: one integer column a grouping: the number (from 1) of the subgroup an image belongs to, or null.

    Returns:
        Rows of `buckets.PAIRS`.
    """
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    of_groups = F.filter(F.array(F.lit(0), *groups), lambda group: group.isNotNull())
    long = predictions.select("patient", of_groups.alias("of"), F.posexplode(F.arrays_zip("labels", "scores")))
    known = long.where(F.col("col.labels").isNotNull() & ~F.isnan("col.labels"))
    numbers = F.concat(F.array(F.lit(MICRO)), F.transform("of", lambda group: group * F.lit(n_findings) + F.col("pos")))
    return known.select(
        F.explode(numbers).cast("int").alias("curve"),
        (F.col("col.scores") + F.lit(0.0)).alias("score"),  # -0.0 becomes 0.0: they are one threshold
        (F.col("col.labels") == 1).alias("label"),
        "patient",
    )


def curves_of(
    pairs: DataFrame, *, drawn: int, replicates: int, seed: int, partitions: int | None = None
) -> dict[int, Curve]:
    """Computes exact curves.

    Args:
        pairs: rows of `buckets.PAIRS`.
        drawn: curves below this number also get average precision, operating point and ROC points.
        replicates: bootstrap replicates over patients.
        seed: of the bootstrap.
        partitions: into how many ranges to sort; default by the number of pairs. The result is the same for any. Equal
            scores of a curve go to one range, so a range can be larger than others where most scores are equal.

    Returns:
        Curve by number; those without any pair are absent.
    """
    from pyspark import StorageLevel
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    started = time.monotonic()
    n = partitions or max(1, -(-pairs.count() // _PAIRS_PER_PARTITION))
    sorted_pairs = pairs.repartition(1) if n == 1 else pairs.repartitionByRange(n, "curve", "score")
    sorted_pairs = sorted_pairs.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        found = (
            sorted_pairs.groupBy(F.spark_partition_id(), "curve")
            .agg(F.min("score"), F.sum(F.col("label").cast("long")), F.count("*"))
            .collect()
        )
        plan = Plan(_ranges([tuple(row)[1:] for row in found]), drawn, replicates, seed)
        rows = sorted_pairs.mapInArrow(counter(plan), to_spark(BUCKETS)).collect()
    finally:
        sorted_pairs.unpersist()
    result = combine([row.asDict() for row in rows], plan)
    log.info(
        "counted %d pairs in %d ranges with %d replicates in %.1f s",
        sum(row[4] for row in found),
        len(rows),
        replicates,
        time.monotonic() - started,
    )
    return result


def _ranges(found: Sequence[tuple[int, float, int, int]]) -> dict[int, Ranges]:
    """Sorts (curve, lowest score, positives, rows) of all buckets into the ranges of each curve."""
    by_curve: dict[int, list[tuple[float, int, int]]] = {}
    for curve, lowest, positive, n in found:
        by_curve.setdefault(curve, []).append((lowest, positive, n - positive))
    ranges = {}
    for curve, buckets in by_curve.items():
        lowest_scores, positives, negatives = zip(*sorted(buckets), strict=True)
        ranges[curve] = Ranges(
            np.array(lowest_scores), np.array(positives, dtype=np.int64), np.array(negatives, dtype=np.int64)
        )
    return ranges
