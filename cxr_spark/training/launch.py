"""The driver's side of a training: starts the ranks, and starts them again from the last checkpoint when one dies."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from cxr_spark import errors
from cxr_spark.config import TrainSettings
from cxr_spark.errors import CxrError, DivergedError, RunError, UsageError
from cxr_spark.spark import let_children_import
from cxr_spark.training import rank
from cxr_spark.training.device import usable_cores
from cxr_spark.training.job import TrainingJob
from cxr_spark.training.output import RankOutput

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


def is_local(spark: SparkSession) -> bool:
    """Whether driver and workers are one process on this host."""
    master = str(spark.sparkContext.master)
    return master == "local" or master.startswith("local[")


def rank_threads(spark: SparkSession, settings: TrainSettings) -> int:
    """Returns the CPU threads of a rank: the setting, else the cores that it may use."""
    if settings.threads_per_worker:
        return settings.threads_per_worker
    if is_local(spark):
        return max(1, usable_cores() // settings.workers)
    return int(spark.sparkContext.getConf().get("spark.task.cpus", "1"))


def check_cluster(spark: SparkSession, settings: TrainSettings) -> None:
    """Checks what Spark would answer with a hanging job.

    Raises:
        UsageError: dynamic allocation is on, or a task has fewer cores than a rank is to use.
    """
    if is_local(spark):
        return
    conf = spark.sparkContext.getConf()
    if conf.get("spark.dynamicAllocation.enabled", "false").lower() == "true":
        raise UsageError(
            "spark.dynamicAllocation.enabled=true: training starts all its ranks at once (barrier mode), which Spark "
            "does not do under dynamic allocation: give --conf spark.dynamicAllocation.enabled=false"
        )
    cpus = int(conf.get("spark.task.cpus", "1"))
    if settings.threads_per_worker and settings.threads_per_worker != cpus:
        raise UsageError(
            f"train.threads_per_worker={settings.threads_per_worker} but spark.task.cpus={cpus}: on a cluster a rank "
            f"is one task and may use its cores; give --conf spark.task.cpus={settings.threads_per_worker}"
        )


def launch(spark: SparkSession, job: TrainingJob) -> None:
    """Runs a planned training to its end.

    Raises:
        CxrError: the error that a rank met.
        RunError: the ranks died more often than `train.max_restarts`.
    """
    for attempt in range(job.train.max_restarts + 1):
        job.checkpoints.delete(rank.FAILURE)
        try:
            _run_ranks(spark, job)
            return
        except Exception as error:  # Spark and torchrun raise what they like; what matters is whether to go on
            cause = _cause(job, error)
        if not isinstance(cause, RunError) or isinstance(cause, DivergedError):
            raise cause
        if attempt == job.train.max_restarts:
            raise RunError(f"the training died {attempt + 1} times, the last time so: {cause}") from None
        log.warning("the ranks died (%d of %d restarts): %s", attempt + 1, job.train.max_restarts, cause)


def _run_ranks(spark: SparkSession, job: TrainingJob) -> None:
    from pyspark.ml.torch.distributor import TorchDistributor

    use_gpu = not is_local(spark) and int(spark.sparkContext.getConf().get("spark.task.resource.gpu.amount", "0")) > 0
    distributor = TorchDistributor(num_processes=job.train.workers, local_mode=is_local(spark), use_gpu=use_gpu)
    let_children_import()
    with contextlib.redirect_stdout(RankOutput()):
        distributor.run(rank.run, job.model_dump_json())


def _cause(job: TrainingJob, error: Exception) -> CxrError:
    """Returns the error that a rank left behind, else one with the last lines that it said."""
    try:
        told = job.checkpoints.read_json(rank.FAILURE)
        kind = getattr(errors, str(told["kind"]), RunError)
        return kind(str(told["message"]))  # type: ignore[no-any-return]
    except FileNotFoundError:
        lines = [line for line in str(error).splitlines() if line.strip()]
        telling = [line for line in lines if "Error" in line or "Signal" in line or "exitcode" in line]
        return RunError("; ".join(line.strip() for line in (telling or lines)[-2:]) or type(error).__name__)
