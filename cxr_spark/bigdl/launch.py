"""Runs a planned training in BigDL, and starts it again from the last checkpoint when it fails."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cxr_spark.bigdl.engine.session import Cluster, start_engine
from cxr_spark.bigdl.limits import check_batch
from cxr_spark.bigdl.training import BigDLTraining
from cxr_spark.errors import DivergedError, RunError, UsageError
from cxr_spark.runtime.tasks import LOST_DRIVER
from cxr_spark.training.specification import TrainingSpec

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: Seconds between two looks at the number of executors.
_LOOK_EVERY = 0.5


def launch(spark: SparkSession, spec: TrainingSpec) -> None:
    """Runs a planned training to its end.

    Raises:
        CxrError: the training failed in a way that a repetition would not mend.
        RunError: the training failed more often than `train.max_restarts`.
    """
    cluster = start_engine(spark, spec.train.bigdl_engine)
    check_batch(spec.train, cluster)
    _wait_for_executors(spark, cluster, spec.train.start_timeout)
    for attempt in range(spec.train.max_restarts + 1):
        try:
            BigDLTraining(spark, spec, cluster).run()
            return
        except RunError as error:
            if isinstance(error, DivergedError):
                raise
            if _is_gone(spark):
                raise RunError(
                    f"{LOST_DRIVER} (in local mode BigDL trains there), or lower train.global_batch; the same command "
                    "goes on where it stopped"
                ) from error
            if attempt == spec.train.max_restarts:
                raise RunError(f"the training died {attempt + 1} times, the last time so: {error}") from None
            log.warning("the training died (%d of %d restarts): %s", attempt + 1, spec.train.max_restarts, error)


def _is_gone(spark: SparkSession) -> bool:
    try:
        return bool(spark.sparkContext._jsc.sc().isStopped())
    except Exception:  # py4j's, of a JVM that does not answer
        return True


def _wait_for_executors(spark: SparkSession, cluster: Cluster, timeout: float) -> None:
    """Waits until all executors are there: BigDL gives each a part of the images when it begins."""
    context = spark.sparkContext
    if context.master.startswith("local"):
        return
    started = time.monotonic()
    while (found := context._jsc.sc().getExecutorMemoryStatus().size() - 1) < cluster.nodes:  # one is the driver
        if time.monotonic() - started > timeout:
            raise UsageError(
                f"BigDL needs {cluster.nodes} executors, {found} came in {timeout:.0f} s: ask for fewer "
                "(spark.executor.instances, spark.cores.max), or raise train.start_timeout"
            )
        time.sleep(_LOOK_EVERY)
