"""Exact curves of predictions of any size: Spark sorts the scores into ranges, executors count, the driver adds up.

Only counts come to the driver: one row for each range, never one for each image. Pairs that fit one task are not sorted
into ranges at all: a test set of the size of NIH's takes one core a second, which is less than a shuffle of its pairs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cxr_spark.evaluation.counting.buckets import BUCKETS, PAIRS, CurveSettings, Ranges, count_buckets
from cxr_spark.evaluation.counting.pairs import Subgroup, pairs_of
from cxr_spark.evaluation.counting.whole_curves import Curve, combine
from cxr_spark.evaluation.image_sets.base import ImageSet
from cxr_spark.evaluation.reading.images import ArrowFunction
from cxr_spark.runtime.spark_schema import to_spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger(__name__)

#: The number of pairs that one task counts. It takes about 300 MB in the executor's Python process and one or two
#: seconds.
_PAIRS_PER_TASK = 4_000_000


def curves_of(
    images: ImageSet,
    *,
    n_images: int,
    n_findings: int,
    subgroups: Sequence[Subgroup],
    replicates: int,
    seed: int,
    split: str | None = None,
    partitions: int | None = None,
) -> dict[int, Curve]:
    """Computes exact curves.

    Args:
        images: checked images, all with labels. They are read twice or more, so the caller keeps them.
        n_images: the number of images.
        n_findings: the length of their labels and scores.
        subgroups: the subgroups that get curves.
        replicates: the number of bootstrap replicates over patients.
        seed: the seed of the bootstrap.
        split: the split that is evaluated, see `pairs_of`.
        partitions: the number of ranges to sort into; None to choose it by the number of pairs. The result is the same
            for any. Equal scores of a curve go to one range, so that range is large where most scores are equal.

    Returns:
        The curves by their numbers (`pairs.first_curve`). A curve without any pair is absent.
    """
    started = time.monotonic()
    copies = 2 + len({group.grouping for group in subgroups})
    tasks = partitions or -(-n_images * n_findings * copies // _PAIRS_PER_TASK)
    settings = CurveSettings(drawn=n_findings, replicates=replicates, seed=seed)
    spread = _spreader(n_findings, subgroups, split)
    if images.frame is None or tasks <= 1:
        rows = images.together(_whole_counter(spread, settings), BUCKETS)
    else:
        rows = _in_ranges(images.frame.mapInArrow(spread, to_spark(PAIRS)), settings, tasks)
    curves = combine(rows, settings)
    log.info("counted %d ranges with %d replicates in %.1f s", len(rows), replicates, time.monotonic() - started)
    return curves


def _spreader(n_findings: int, subgroups: Sequence[Subgroup], split: str | None) -> ArrowFunction:
    def spread(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from pairs_of(pa.Table.from_batches([batch]), n_findings, subgroups, split).to_batches()

    return spread


def _whole_counter(spread: ArrowFunction, settings: CurveSettings) -> ArrowFunction:
    """Counts the pairs of all images in one task."""

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        pairs = pa.Table.from_batches(spread(batches), schema=PAIRS)
        if pairs.num_rows:
            yield from count_buckets(pairs, settings)

    return count


def _in_ranges(pairs: DataFrame, settings: CurveSettings, n: int) -> list[dict[str, Any]]:
    """Counts pairs in n ranges of (curve, score), in two passes: first how many each range holds."""
    from pyspark import StorageLevel
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    ordered = pairs.repartitionByRange(n, "curve", "score").persist(StorageLevel.MEMORY_AND_DISK)
    try:
        found = (
            ordered.groupBy(F.spark_partition_id(), "curve")
            .agg(F.min("score"), F.sum(F.col("label").cast("long")), F.count("*"))
            .collect()
        )
        ranges = _ranges([tuple(row)[1:] for row in found])

        def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            some = [batch for batch in batches if batch.num_rows]
            if some:  # cast: Spark does not always know that a column has no nulls
                yield from count_buckets(pa.Table.from_batches(some).cast(PAIRS), settings, ranges)

        return [row.asDict() for row in ordered.mapInArrow(count, to_spark(BUCKETS)).collect()]
    finally:
        ordered.unpersist()


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
