"""What the driver makes of the record that a failed rank left behind."""

from __future__ import annotations

import errno
import json
import os
from types import SimpleNamespace

import pytest

from cxr_spark.errors import DataError, DivergedError, RunError
from cxr_spark.storage.store import Store
from cxr_spark.training.driver.launch import _cause
from cxr_spark.training.rank.failure import FAILURE, may_pass, report_failure

#: What Spark raises when a worker is gone.
LOST = RuntimeError(
    "An error occurred while calling o110.collectToPython.\n"
    ": org.apache.spark.SparkException: Job aborted due to stage failure: barrier task finished unsuccessfully.\n"
    "ExecutorLostFailure (executor 0 exited caused by one of the running tasks) Reason: heartbeat timed out\n"
    "\tat org.apache.spark.sql.execution.QueryExecution$.withInternalError(QueryExecution.scala:546)\n"
)
SPARK_SAYS = RuntimeError("a trace\n  ValueError: of Spark's\nexitcode: 1 (pid 7)\nmore")


@pytest.fixture
def job(tmp_path):
    return SimpleNamespace(checkpoints=Store(f"file://{tmp_path}"))


@pytest.mark.parametrize("error", [DataError("labels"), DivergedError("not finite"), RunError("gone")])
def test_an_error_of_a_rank_comes_back_as_it_was(job, error):
    report_failure(job.checkpoints, error)
    found = _cause(job, SPARK_SAYS)
    assert type(found) is type(error)
    assert str(found) == str(error)


def test_any_other_exception_is_a_failed_run(job):
    report_failure(job.checkpoints, KeyError("x"))
    assert type(_cause(job, SPARK_SAYS)) is RunError


@pytest.mark.parametrize("kind", ["annotations", "__name__", "NoSuchError", "Exception", None, 3])
def test_what_is_no_error_of_ours_is_a_failed_run(job, kind):
    job.checkpoints.write_bytes(FAILURE, json.dumps({"kind": kind, "message": "m"}).encode())
    found = _cause(job, SPARK_SAYS)
    assert type(found) is RunError
    assert str(found) == "m"


@pytest.mark.parametrize("record", [None, b"", b"{", b"[]", b"{}", b'{"kind": "DataError"}', b"3"])
def test_without_a_whole_record_the_last_telling_lines_are_the_cause(job, record):
    if record is not None:
        job.checkpoints.write_bytes(FAILURE, record)
    found = _cause(job, SPARK_SAYS)
    assert type(found) is RunError
    assert str(found) == "ValueError: of Spark's; exitcode: 1 (pid 7)"


def test_a_lost_worker_is_named(job):
    found = _cause(job, LOST)
    assert str(found).startswith("ExecutorLostFailure (executor 0 exited")


def test_a_full_disk_is_not_tried_again():
    """The text is that of the system, as an error of writing carries it through every wrapper."""
    full = os.strerror(errno.ENOSPC)
    assert not may_pass(OSError(errno.ENOSPC, full))
    assert not may_pass(RunError(f"file:///x cannot be written: {full}"))
    assert may_pass(RunError("the store is away"))
    assert may_pass(OSError(errno.EIO, os.strerror(errno.EIO)))
