"""The score job on the driver: let Spark's tasks write predictions, clean up, and count."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cxr_spark.errors import DataError
from cxr_spark.models.device import usable_cores
from cxr_spark.outputs.own_files import delete_strays
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.scoring.plan import Part
from cxr_spark.scoring.task import QUARANTINE_FOLDER, PartScorer, write_quarantine
from cxr_spark.storage.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


def score(
    spark: SparkSession,
    parts: Sequence[Part],
    set_aside: pa.Table,
    scorer: PartScorer,
    check_held: Callable[[], None],
) -> dict[str, Any]:
    """Writes the predictions of all parts.

    Args:
        spark: the session.
        parts: what to score.
        set_aside: columns of `schema.QUARANTINE`: images that are not even read.
        scorer: writes a part.
        check_held: raises if another run took the output folder over; called before anything is deleted.

    Returns:
        The counts: `images`, and `quarantined` by reason.

    Raises:
        DataError: not one image could be read; prepared data or the model are damaged.
        RunError: files could not be written, or were lost.
    """
    store = Store(scorer.out)
    names: set[str] = set()
    quarantined: Counter[str] = Counter(set_aside["reason"].to_pylist())
    if set_aside.num_rows:
        names.add(write_quarantine(store, f"names-{scorer.tag}", set_aside))
    started = time.monotonic()
    scored = run_parts(spark, parts, scorer, "scoring")
    for part in scored:
        names.update(part.names)
        quarantined.update(part.quarantined)
    images, seconds = sum(part.images for part in scored), time.monotonic() - started
    log.info("scored %d images in %.1f s, %.1f images/s", images, seconds, images / seconds)
    check_held()
    delete_strays(store, "score", names)
    if images == 0:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(quarantined.items()))
        raise DataError(f"none of the images can be read ({reasons}): see {store.uri_of(QUARANTINE_FOLDER)}")
    return {"images": images, "quarantined": dict(sorted(quarantined.items()))}


def threads_of_a_task(spark: SparkSession, parts: int) -> int:
    """Returns the CPU threads of a task: with fewer tasks than cores on one machine, each has several."""
    context = spark.sparkContext
    if context.master.startswith("local"):
        return max(1, usable_cores() // max(1, min(parts, int(context.defaultParallelism))))
    return int(context.getConf().get("spark.task.cpus", "1"))
