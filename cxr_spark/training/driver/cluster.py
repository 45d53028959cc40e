"""Checks on the driver, before the ranks start, that the cluster can run them: Spark would tell late or never."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cxr_spark.config import TrainSettings
from cxr_spark.errors import RunError, UsageError
from cxr_spark.runtime.cores import usable_cores

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: Seconds between two looks at how many tasks the cluster can run.
_LOOK_EVERY = 0.5


def is_local(spark: SparkSession) -> bool:
    """Returns whether Spark runs in local mode: driver and executors are one process on this host."""
    master = str(spark.sparkContext.master)
    return master == "local" or master.startswith("local[")


def rank_threads(spark: SparkSession, settings: TrainSettings) -> int:
    """Returns the number of CPU threads of a rank: as the settings say, else as many as it may use cores."""
    if settings.threads_per_worker:
        return settings.threads_per_worker
    if is_local(spark):
        return max(1, usable_cores() // settings.workers)
    return int(spark.sparkContext.getConf().get("spark.task.cpus", "1"))


def check_cluster(spark: SparkSession, settings: TrainSettings) -> None:
    """Checks that all ranks can run at the same time, and waits for the executors that they need.

    Raises:
        UsageError: dynamic allocation is on, a task has other cores or GPUs than a rank needs, or too few tasks fit.
    """
    if is_local(spark):
        return
    conf = dict(spark.sparkContext.getConf().getAll())
    check_settings(conf, settings)
    places = _wait_for_places(spark, settings)
    if places < settings.workers:
        raise _too_few(settings.workers, places, conf, f" after {settings.start_timeout:.0f} s")


def check_places_again(spark: SparkSession, settings: TrainSettings) -> None:
    """Waits until the cluster has places for all ranks again, after some of them died.

    A host may be lost with its ranks. Spark itself would look 40 times, every 15 s, and then explain barrier jobs.

    Raises:
        RunError: it has too few after `train.start_timeout` seconds.
    """
    if is_local(spark):
        return
    places = _wait_for_places(spark, settings)
    if places < settings.workers:
        raise RunError(
            f"{settings.start_timeout:.0f} s after its ranks died the cluster has places for {places} of "
            f"{settings.workers}: when its workers are back, run the same command again, and the training goes on from "
            "its last checkpoint; or let train.start_timeout be longer"
        )


def check_settings(conf: Mapping[str, str], settings: TrainSettings) -> None:
    """Checks Spark's settings, without looking at the cluster.

    Raises:
        UsageError: for the reasons that `check_cluster` names.
    """
    if conf.get("spark.dynamicAllocation.enabled", "false").lower() == "true":
        raise UsageError(
            "spark.dynamicAllocation.enabled=true: training starts all its ranks at once (barrier mode), which Spark "
            "does not do under dynamic allocation: give --conf spark.dynamicAllocation.enabled=false"
        )
    cpus = _task_cpus(conf)
    if settings.threads_per_worker and settings.threads_per_worker != cpus:
        raise UsageError(
            f"train.threads_per_worker={settings.threads_per_worker} but spark.task.cpus={cpus}: on a cluster a rank "
            f"is one task and may use its cores; give --conf spark.task.cpus={settings.threads_per_worker}"
        )
    gpus = conf.get("spark.task.resource.gpu.amount", "0")
    if float(gpus) not in (0, 1):
        raise UsageError(
            f"spark.task.resource.gpu.amount={gpus}: a rank is one task and uses one GPU; give "
            "--conf spark.task.resource.gpu.amount=1"
        )
    most = most_tasks(conf)
    if most is not None and most < settings.workers:
        raise _too_few(settings.workers, most, conf)


def most_tasks(conf: Mapping[str, str]) -> int | None:
    """Returns how many tasks can run at the same time by Spark's settings; None if they do not tell."""
    cpus = _task_cpus(conf)
    bounds = []
    if "spark.cores.max" in conf:  # standalone
        bounds.append(int(conf["spark.cores.max"]) // cpus)
    if "spark.executor.instances" in conf and "spark.executor.cores" in conf:  # YARN, Kubernetes
        bounds.append(int(conf["spark.executor.instances"]) * (int(conf["spark.executor.cores"]) // cpus))
    return min(bounds) if bounds else None


def _task_cpus(conf: Mapping[str, str]) -> int:
    return int(conf.get("spark.task.cpus", "1"))


def _wait_for_places(spark: SparkSession, settings: TrainSettings) -> int:
    """Waits for places for all ranks, at most `train.start_timeout` seconds, and returns how many places there are."""
    context = spark.sparkContext._jsc.sc()
    profile = context.resourceProfileManager().defaultResourceProfile()
    started = time.monotonic()
    told = False
    while (places := int(context.maxNumConcurrentTasks(profile))) < settings.workers:
        waited = time.monotonic() - started
        if waited > settings.start_timeout:
            break
        if waited > 5 and not told:
            log.info("waiting for executors: places for %d of %d ranks so far", places, settings.workers)
            told = True
        time.sleep(_LOOK_EVERY)
    return places


def _too_few(workers: int, places: int, conf: Mapping[str, str], when: str = "") -> UsageError:
    per_rank = f"{_task_cpus(conf)} core(s)"
    if float(conf.get("spark.task.resource.gpu.amount", "0")):
        per_rank += " and a GPU"
    return UsageError(
        f"--workers {workers}: the cluster has places for {places} ranks{when}, each of {per_rank} "
        "(spark.task.cpus, spark.task.resource.gpu.amount): lower --workers, or ask for more executors or cores "
        "(spark.executor.instances, spark.executor.cores, spark.cores.max)"
    )
