"""The driver's side of a training: starts the ranks, and starts them again from the last checkpoint when one dies."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from cxr_spark import errors
from cxr_spark.errors import CxrError, DivergedError, RunError
from cxr_spark.runtime.session import let_children_import
from cxr_spark.training.driver.cluster import check_places_again, is_local, uses_gpu
from cxr_spark.training.driver.rank_output import RankOutput
from cxr_spark.training.driver.reachability import check_reachability
from cxr_spark.training.rank import task as rank
from cxr_spark.training.specification import TrainingSpec

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: In the lines of what Spark and torchrun raise that say what happened to a rank.
_TELLING = re.compile(r"Error|Signal|exitcode|Failure \(")


def launch(spark: SparkSession, spec: TrainingSpec) -> None:
    """Runs a planned training to its end.

    Raises:
        CxrError: the error that a rank met.
        RunError: the ranks died more often than `train.max_restarts`, or the cluster has no place for them any more.
    """
    if not is_local(spark) and spec.train.workers > 1:
        check_reachability(spark, spec.train.workers)
    for attempt in range(spec.train.max_restarts + 1):
        spec.checkpoints.delete(rank.FAILURE)
        try:
            _run_ranks(spark, spec)
            return
        except Exception as error:  # Spark and torchrun raise what they like; what matters is whether to go on
            cause = _cause(spec, error)
        if not isinstance(cause, RunError) or isinstance(cause, DivergedError):
            raise cause
        if attempt == spec.train.max_restarts:
            raise RunError(f"the training died {attempt + 1} times, the last time so: {cause}") from None
        log.warning("the ranks died (%d of %d restarts): %s", attempt + 1, spec.train.max_restarts, cause)
        check_places_again(spark, spec.train)


def _run_ranks(spark: SparkSession, spec: TrainingSpec) -> None:
    from pyspark.ml.torch.distributor import TorchDistributor

    if is_local(spark):  # else torchrun waits for minutes for a name of this host that may not resolve
        os.environ.setdefault("PET_LOCAL_ADDR", "127.0.0.1")
    local = is_local(spark)
    distributor = TorchDistributor(num_processes=spec.train.workers, local_mode=local, use_gpu=uses_gpu(spark))
    let_children_import()
    with contextlib.redirect_stdout(RankOutput()):
        distributor.run(_RankFunction(), spec.model_dump_json())


class _RankFunction:
    """`rank.run`, in a form that makes a task let its children find what it finds itself.

    torchrun starts a rank as a process of its own. That sees what PYTHONPATH names, but not what `--py-files` brought:
    Spark puts this on the search path of the task alone.
    """

    def __call__(self, spec_json: str) -> None:
        rank.run(spec_json)

    def __reduce__(self) -> tuple[Callable[[], Callable[[str], None]], tuple[()]]:
        return (_rank_function, ())


def _rank_function() -> Callable[[str], None]:
    """Called where the task unpickles the function that it is to run."""
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path for path in sys.path if path))
    return rank.run


def _cause(spec: TrainingSpec, error: Exception) -> CxrError:
    """Returns the error that a rank left behind, else one with the last lines that it said."""
    try:
        told = spec.checkpoints.read_json(rank.FAILURE)
        return _error_class(told["kind"])(str(told["message"]))
    except (FileNotFoundError, RunError, TypeError, KeyError):  # nothing there, or a rank died while it wrote it
        lines = [line.strip() for line in str(error).splitlines()]
        lines = [line for line in lines if line and not line.startswith("at ")]  # of Java's traces what, not where
        telling = [line for line in lines if _TELLING.search(line)]
        return RunError("; ".join((telling or lines)[-2:]) or type(error).__name__)


def _error_class(name: object) -> type[CxrError]:
    """Returns the error class of a name; that of a failed run for any other name."""
    kind = vars(errors).get(str(name))
    return kind if isinstance(kind, type) and issubclass(kind, CxrError) else RunError
