"""Runs a function on Spark's executors, in one task for each part, and tells why a task failed in its own words."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from cxr_spark.errors import CxrError, RunError, error_class
from cxr_spark.runtime.progress import watched

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Part = TypeVar("Part")
Result = TypeVar("Result")

_OWN_ERROR = re.compile(r"^cxr_spark\.(?:\w+\.)+(\w+): (.+)$", re.MULTILINE)
#: What Py4J puts before a trace: which object of its own was called.
_PY4J = re.compile(r"\AAn error occurred while calling [^\n]*\n: ")
_PYTHON_ERROR = re.compile(r"^(\w*(?:Error|Exception)\b.*)$", re.MULTILINE)
#: What Spark tells of a Python process that ended in the middle of its work; the cause below is only an EOFException.
_LOST_WORKER = re.compile(r"Python worker (exited unexpectedly|crashed)")
#: What Python says where the workers are of an environment without this package.
_LACKS = re.compile(r"^ModuleNotFoundError: No module named '\w+", re.MULTILINE)
#: What to do about it.
OTHER_PYTHON = (
    "the workers of Spark run a Python that does not have it: name one that has this package by PYSPARK_PYTHON or "
    "spark.pyspark.python, before Spark starts"
)
#: Why such a process ended.
LOST_WORKER = (
    "a Python process of an executor was killed or crashed, most often for lack of memory: raise "
    "spark.executor.memoryOverhead (in local mode: free memory of this machine), or lower the job's batch"
)
#: Why Py4J has nobody to talk to.
LOST_DRIVER = "Spark's driver is gone, most often for lack of memory: raise spark.driver.memory"


def run_parts(
    spark: SparkSession,
    parts: Sequence[Part],
    task: Callable[[Iterable[Part]], Iterator[Result]],
    doing: str,
) -> list[Result]:
    """Runs a function over parts, each in a task of its own, and shows how many are done.

    Args:
        spark: the session.
        parts: one for each task. They must be small, because they travel with the tasks.
        task: what a task does: a function from its one part to the result of that. The result must be small, because
            it comes back to the driver.
        doing: a word for what the tasks do, for messages.

    Returns:
        All results, in the order of the parts.

    Raises:
        CxrError: what a task raised.
        RunError: a task failed otherwise.
    """
    if not parts:
        return []
    context = spark.sparkContext
    done = context.accumulator(0)

    def counted(here: Iterable[Part]) -> Iterator[Result]:
        yield from task(here)
        done.add(1)

    with watched(doing, len(parts), lambda: done.value):
        return _collect(context.parallelize(parts, len(parts)).mapPartitions(counted), doing)


def barrier_parts(
    spark: SparkSession, count: int, task: Callable[[Iterable[int]], Iterator[Result]], doing: str
) -> list[Result]:
    """Runs a function in tasks that all run at the same time, and know of each other (`BarrierTaskContext`).

    Args:
        spark: the session.
        count: the number of tasks.
        task: what a task does: a function from its number to the results that come back to the driver.
        doing: a word for what the tasks do, for messages.

    Raises:
        CxrError: as `run_parts`.
    """
    return _collect(spark.sparkContext.parallelize(range(count), count).barrier().mapPartitions(task), doing)


def _collect(rdd: Any, doing: str) -> list[Any]:
    try:
        return list(rdd.collect())
    except Exception as error:
        if not is_of_spark(error):
            raise
        raise error_of_task(java_trace(error), doing) from error


def is_of_spark(error: BaseException) -> bool:
    """Whether Spark raised an error for what a task or the JVM met: in Py4J's class or, since Spark 4.3, in its own."""
    from pyspark.errors import PySparkException

    return hasattr(error, "java_exception") or isinstance(error, PySparkException)


def is_of_lost_driver(error: BaseException) -> bool:
    """Whether an error tells that the JVM of the driver, which Py4J talks to, is not there any more."""
    from py4j.protocol import Py4JNetworkError  # type: ignore[import-untyped]

    if isinstance(error, Py4JNetworkError):
        return True
    frames = traceback.walk_tb(error.__traceback__) if isinstance(error, OSError) else ()
    return any(frame.f_globals.get("__name__", "").startswith("py4j.") for frame, _ in frames)


def java_trace(error: BaseException) -> str:
    """Returns all that Java tells of an error that Py4J passed on, or what is left of it where the JVM is gone."""
    try:
        told = str(error)
    except Exception:  # Py4J asks the JVM for the trace
        told = str(getattr(error, "errmsg", type(error).__name__))
    return _PY4J.sub("", told)


def error_of_task(trace: str, doing: str) -> CxrError:
    """Finds in what Spark tells of a failed task the error that Python raised there.

    Args:
        trace: all that Spark tells.
        doing: what the task was, for messages.
    """
    own = _OWN_ERROR.search(trace)
    if own:
        return error_class(own[1])(own[2])
    if _LOST_WORKER.search(trace):
        return RunError(f"{doing} failed: {LOST_WORKER}")
    found = _PYTHON_ERROR.search(trace)
    if found and _LACKS.match(found[1]):
        return RunError(f"{doing} failed: {found[1]}; {OTHER_PYTHON}")
    return RunError(f"{doing} failed: {found[1] if found else innermost_cause(trace)}")


def innermost_cause(trace: str) -> str:
    """Returns what a trace of Java's tells of the cause of the cause, in one line."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line.partition(": ")[2] for line in lines if line.startswith("Caused by: ")]
    return (causes or lines or ["no reason given"])[-1 if causes else 0]
