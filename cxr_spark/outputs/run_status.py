"""How a run ended: its exit status, what is said of an error, and the record that is left in the output folder."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Mapping
from typing import Any

from cxr_spark.errors import CxrError, DataError, RunError
from cxr_spark.outputs.claim import write_status
from cxr_spark.runtime.application import Application
from cxr_spark.runtime.processes import Terminated
from cxr_spark.runtime.session import under_spark_submit
from cxr_spark.runtime.spark_files import default_fs_by_files, spark_defaults
from cxr_spark.runtime.tasks import LOST_DRIVER, error_of_task, is_of_lost_driver, is_of_spark, java_trace
from cxr_spark.storage.store import Store, resolve

log = logging.getLogger(__name__)

#: An error of a library is told in no more characters than this: a trace of Spark's can have thousands.
_MOST_CHARACTERS = 600
_AGAIN = "run the same command again to go on"


def as_own_error(error: BaseException) -> BaseException:
    """Returns the error of this package that tells what happened; an error that is told well already is returned as is.

    Args:
        error: the error that ended a run: one of this package, of Spark or of any other library.
    """
    if isinstance(error, CxrError | KeyboardInterrupt):
        return error
    if isinstance(error, FileNotFoundError):
        return DataError(f"no such file or folder: {error.filename or _one_line(str(error))}")
    if is_of_lost_driver(error):
        return RunError(f"{LOST_DRIVER}; {_AGAIN}")
    if is_of_spark(error):  # what a task raised stands somewhere in a long trace
        trace = java_trace(error)
        told = error_of_task(trace, "a Spark job")
        return type(told)(_short(str(told)) + _remedy(trace))
    return error


def tell(error: BaseException) -> tuple[int, str]:
    """Returns the exit status of a run that an error ended, and the error in one line."""
    own = as_own_error(error)
    if isinstance(own, CxrError):
        return own.exit_status, _one_line(str(own)) or type(own).__name__
    if isinstance(own, KeyboardInterrupt):
        return 4, f"{'terminated' if isinstance(own, Terminated) else 'interrupted'}; {_AGAIN}"
    return 4, f"{type(own).__name__}: {_short(str(own))}{_remedy(str(own))} (the trace is shown with --debug)"


def _remedy(told: str) -> str:
    """Returns what helps against a full disk, which can show anywhere; nothing for other errors."""
    full = os.strerror(errno.ENOSPC) in told
    return "; free space there, or name other disks in spark.local.dir and TMPDIR, then run it again" if full else ""


def leave_status(
    uri: str | None, job: str, status: int, seconds: float, summary: Mapping[str, Any], message: str | None
) -> None:
    """Writes `_status.json` into the output folder of a run.

    A scheduler needs it: in YARN's cluster mode spark-submit itself exits with 1 whatever the job's status is. A status
    that cannot be written is logged, and changes nothing of how the run ended.

    Args:
        uri: full URI of the output folder; None where it is not known: then nothing is written.
        job: name of the job.
        status: exit status.
        seconds: how long the run took.
        summary: the job's result as JSON values; empty where it failed.
        message: the error in one line; None where there was none.
    """
    if uri is None:
        return
    value = {
        "job": job,
        "exit_status": status,
        "error": message,
        "seconds": round(seconds, 1),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "summary": summary,
    }
    try:
        write_status(Store(uri), job, value)
    except (CxrError, OSError) as error:
        log.warning("the exit status could not be written: %s", error)


def uri_without_spark(out: str | None, conf: Mapping[str, str]) -> str | None:
    """Returns the full URI of the output folder of a run that failed before its application was set up.

    Args:
        out: the folder as the user wrote it; None where the job has none.
        conf: the user's Spark settings.

    Returns:
        The URI; None where there is no folder, or where only a session could tell what the path means.
    """
    if out is None:
        return None
    try:
        if under_spark_submit():  # its JVM is there and knows; otherwise one would have to be started
            return Application("status", None, {}).resolve(out)
        base = default_fs_by_files({**spark_defaults(), **conf})
        return resolve(out, base) if base is not None else None
    except CxrError:
        return None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    line = _one_line(text)
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 3] + "..."
