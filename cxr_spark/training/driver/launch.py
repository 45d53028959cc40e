"""Starts the ranks of a training, and starts them again from the last checkpoint when one dies."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from cxr_spark.errors import CxrError, RunError, error_class
from cxr_spark.training.driver.barrier_ranks import run_barrier_ranks
from cxr_spark.training.driver.cluster import check_places_again, is_local
from cxr_spark.training.driver.local_ranks import run_local_ranks
from cxr_spark.training.driver.reachability import check_reachability
from cxr_spark.training.rank.failure import FAILURE, Failure, may_pass, read_failure
from cxr_spark.training.specification import TrainingSpec

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: An error of this package in the trace that Spark gives of a failed task.
_OWN_ERROR = re.compile(r"^cxr_spark\.errors\.(\w+): (.+)$", re.MULTILINE)
#: Marks the lines in Spark's errors that say what happened to a rank.
_TELLING = re.compile(r"Error|Signal|exitcode|Failure \(")


def launch(spark: SparkSession, spec: TrainingSpec) -> None:
    """Runs a training to its end.

    Raises:
        CxrError: a rank failed in a way that a repetition would not mend.
        RunError: the ranks died more often than `train.max_restarts`, or the cluster has no place for them any more.
    """
    if not is_local(spark) and spec.train.workers > 1:
        check_reachability(spark, spec.train.workers)
    for attempt in range(spec.train.max_restarts + 1):
        spec.checkpoints.delete(FAILURE)
        try:
            _run_ranks(spark, spec)
            return
        except Exception as error:  # Spark raises errors of many classes; what matters is whether to go on
            cause = _cause(spec, error)
        if not _may_pass(spec, cause):
            raise cause
        if attempt == spec.train.max_restarts:
            raise RunError(f"the training died {attempt + 1} times, the last time so: {cause}") from None
        log.warning("the ranks died (%d of %d restarts): %s", attempt + 1, spec.train.max_restarts, cause)
        check_places_again(spark, spec.train)


def _run_ranks(spark: SparkSession, spec: TrainingSpec) -> None:
    if is_local(spark):
        run_local_ranks(spec)
    else:
        run_barrier_ranks(spark, spec)


def _cause(spec: TrainingSpec, error: Exception) -> CxrError:
    """Returns the error that a rank recorded, else what its launcher tells of its end, else what Spark tells."""
    told = _recorded(spec)
    if told is not None:
        return error_class(told.kind)(told.message)
    if isinstance(error, CxrError):
        return error
    own = _OWN_ERROR.search(str(error))
    if own:
        return error_class(own[1])(own[2])
    lines = [line.strip() for line in str(error).splitlines()]
    # Of Java's traces the messages, not the places.
    lines = [line for line in lines if line and not line.startswith("at ")]
    telling = [line for line in lines if _TELLING.search(line)]
    return RunError("; ".join((telling or lines)[-2:]) or type(error).__name__)


def _may_pass(spec: TrainingSpec, cause: CxrError) -> bool:
    """Returns whether it makes sense to start the ranks again."""
    if not may_pass(cause):
        return False
    told = _recorded(spec)
    return told is None or told.may_pass


def _recorded(spec: TrainingSpec) -> Failure | None:
    try:
        return read_failure(spec.checkpoints)
    except RunError:  # the storage is away: what Spark tells is all that is known
        return None
