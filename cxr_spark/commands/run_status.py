"""How a run ended: its exit status, what is said of an error, and the record that is left in the output folder."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import time
from collections.abc import Mapping

from cxr_spark.errors import CxrError
from cxr_spark.outputs.claim import write_status
from cxr_spark.runtime.application import Application
from cxr_spark.runtime.processes import Terminated
from cxr_spark.runtime.session import under_spark_submit
from cxr_spark.runtime.spark_files import known_default_fs
from cxr_spark.runtime.tasks import LOST_DRIVER, error_of_task, is_of_lost_driver, java_trace
from cxr_spark.storage.store import Store, resolve

log = logging.getLogger(__name__)

#: Of an error of a library no more is told than this: a trace of Spark's can be thousands of characters.
_MOST_CHARACTERS = 600


def tell(error: BaseException) -> tuple[int, str]:
    """Returns the exit status of a run that an error ended, and the error in one line."""
    if isinstance(error, CxrError):
        return error.exit_status, _one_line(str(error)) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return 3, f"no such file or folder: {error.filename or _one_line(str(error))}"
    if isinstance(error, Terminated):
        return 4, "terminated; run the same command again to go on"
    if isinstance(error, KeyboardInterrupt):
        return 4, "interrupted; run the same command again to go on"
    if is_of_lost_driver(error):
        return 4, f"{LOST_DRIVER}; run the same command again to go on"
    if hasattr(error, "java_exception"):  # of py4j: what a task raised stands somewhere in a long trace
        trace = java_trace(error)
        told = error_of_task(trace, "a Spark job")
        return told.exit_status, _short(str(told)) + _remedy(trace)
    return 4, f"{type(error).__name__}: {_short(str(error))}{_remedy(str(error))} (the trace is shown with --debug)"


def _remedy(told: str) -> str:
    """Returns what helps against a full disk, which can show anywhere; nothing for other errors."""
    full = os.strerror(errno.ENOSPC) in told
    return "; free space there, or name other disks in spark.local.dir and TMPDIR, then run it again" if full else ""


def leave_status(
    args: argparse.Namespace, status: int, seconds: float, summary: Mapping[str, object], message: str | None
) -> None:
    """Writes `_status.json` into the output folder: in YARN's cluster mode spark-submit itself gives 1 for any.

    Args:
        args: of the command. `status_uri` is set by one that holds its output folder; one that failed before has `out`.
        status: exit status.
        seconds: that the run took.
        summary: what it returned.
        message: the error, if there was one.
    """
    value = {
        "job": args.command,
        "exit_status": status,
        "error": message,
        "seconds": round(seconds, 1),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "summary": summary,
    }
    try:
        uri = getattr(args, "status_uri", None) or (_out(args) if status else None)
        if uri is not None:
            write_status(Store(uri), args.command, value)
    except (CxrError, OSError) as error:
        log.warning("the exit status could not be written: %s", error)


def _out(args: argparse.Namespace) -> str | None:
    """Returns the output folder of a run that failed before it held it; None where it has none, or only Spark knows."""
    out = getattr(args, "out", None)
    if out is None or getattr(args, "out_is_file", False):
        return None
    if under_spark_submit():  # its JVM is there and knows; otherwise one would have to be started
        return Application("status", None, {}).resolve(out)
    base = known_default_fs(args.spark_conf)
    return resolve(out, base) if base is not None else None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    line = _one_line(text)
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 3] + "..."
