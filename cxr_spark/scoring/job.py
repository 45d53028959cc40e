"""The score job on the driver: let Spark's tasks write predictions, clean up, and count."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cxr_spark.errors import DataError, RunError, UsageError
from cxr_spark.scoring.plan import Part
from cxr_spark.scoring.write import QUARANTINE_FOLDER, PartScorer, write_quarantine
from cxr_spark.storage import Store
from cxr_spark.tasks import run_parts
from cxr_spark.training.device import usable_cores

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: Names that this job gives to files, finished or not. Nothing else is ever deleted.
_OWN_FILE = re.compile(rf"({QUARANTINE_FOLDER}/)?(part-[^/]+\.parquet|\.part-[^/]+\.tmp)")


def score(spark: SparkSession, parts: Sequence[Part], set_aside: pa.Table, scorer: PartScorer) -> dict[str, Any]:
    """Writes the predictions of all parts.

    Args:
        spark: the session.
        parts: what to score.
        set_aside: columns of `schema.QUARANTINE`: images that are not even read.
        scorer: writes a part.

    Returns:
        The counts: `images`, and `quarantined` by reason.

    Raises:
        UsageError: Parquet files of something else are in the output folder.
        DataError: not one image could be read; prepared data or the model are damaged.
        RunError: files could not be written, or were lost.
    """
    store = Store(scorer.out)
    _refuse_other_files(store)
    _delete_own(store, keep=set())
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
    _delete_own(store, keep=names)
    missing = names - set(_own_files(store))
    if missing:
        raise RunError(f"{len(missing)} files are gone after they were written, such as {store.uri_of(min(missing))}")
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


def _refuse_other_files(store: Store) -> None:
    """Whatever reads the output as a Parquet folder would take foreign files for predictions."""
    for info in store.files():
        if info.name.endswith(".parquet") and not _OWN_FILE.fullmatch(info.name):
            raise UsageError(f"{info.uri} is not of the score job: choose a folder of its own for --out")


def _own_files(store: Store) -> list[str]:
    return [info.name for info in store.files() if _OWN_FILE.fullmatch(info.name)]


def _delete_own(store: Store, keep: set[str]) -> None:
    """Deletes files of this job that are not to be kept: of earlier runs, and of failed tasks."""
    for name in _own_files(store):
        if name not in keep:
            log.debug("deleting %s, which is not of this run", name)
            store.delete(name)
