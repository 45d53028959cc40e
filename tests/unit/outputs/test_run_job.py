"""How every job runs, whatever it does: result, finished work, status, errors, interrupts."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cxr_spark.errors import DataError, RunError, UsageError
from cxr_spark.outputs.claim import Claim
from cxr_spark.outputs.job import Execution, Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult
from cxr_spark.outputs.run_job import run_job


class SumResult(JobResult):
    total: int
    mean: float | None = None


@dataclass(frozen=True)
class SumJob(Job[SumResult]):
    """A small job: it adds up the numbers in a file."""

    name: ClassVar[str] = "sum"
    result: ClassVar[type[JobResult]] = SumResult
    numbers: str
    out: str
    before: Callable[[], object] = lambda: None
    again: bool = False

    @property
    def adds(self) -> bool:
        return self.again

    def inputs(self) -> dict[str, Input]:
        return {"--numbers": Input.of(self.numbers, on_executors=False)}

    def read_inputs(self, run: JobRun) -> ReadyJob[SumResult]:
        numbers = [int(word) for word in Path(run.needed_uri("--numbers").removeprefix("file://")).read_text().split()]

        def produce(claimed: Claim) -> SumResult:
            self.before()
            claimed.store.write_json("sum.json", sum(numbers))
            return SumResult(out=claimed.store.uri, total=sum(numbers), mean=sum(numbers) / len(numbers), most=9)

        return ReadyJob({"numbers": numbers}, produce)


@pytest.fixture
def numbers(tmp_path: Path) -> str:
    (tmp_path / "numbers.txt").write_text("1 2 3")
    return str(tmp_path / "numbers.txt")


def status_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "_status.json").read_text())  # type: ignore[no-any-return]


def test_a_job_gives_a_typed_result_and_is_done_once(numbers, tmp_path, caplog):
    out = tmp_path / "out"
    with caplog.at_level(logging.INFO):
        first = run_job(SumJob(numbers, str(out)))
        assert "finished before" not in caplog.text
        second = run_job(SumJob(numbers, str(out), before=lambda: pytest.fail("done again")))
    assert (first.total, first.mean, first.out, first.most) == (6, 2.0, f"file://{out}", 9)
    assert second == first
    assert "sum: finished before, nothing to do" in caplog.text
    assert status_of(out)["exit_status"] == 0
    assert status_of(out)["summary"] == first.summary() == {"out": first.out, "total": 6, "mean": 2.0, "most": 9}


def test_a_result_shows_as_a_table(numbers, tmp_path):
    shown = run_job(SumJob(numbers, str(tmp_path / "<out>")))._repr_html_()
    assert shown.startswith("<table>")
    assert ">total</th><td>6</td>" in shown
    assert "&lt;out&gt;" in shown
    assert "<out>" not in shown


def test_other_inputs_are_refused_and_replaced_on_demand(numbers, tmp_path):
    out = str(tmp_path / "out")
    run_job(SumJob(numbers, out))
    Path(numbers).write_text("4")
    with pytest.raises(UsageError, match="finished output of other settings or inputs"):
        run_job(SumJob(numbers, out))
    assert run_job(SumJob(numbers, out), Execution(overwrite=True)).total == 4


def test_a_job_that_adds_is_never_finished(numbers, tmp_path, caplog):
    """As the nightly scoring: that it ran before is no reason to say that there is nothing to do."""
    out, runs = str(tmp_path / "out"), []
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            run_job(SumJob(numbers, out, before=lambda: runs.append(1), again=True))
    assert len(runs) == 2
    assert "finished before" not in caplog.text


@pytest.mark.parametrize("where", ["lies in the output", "is around the output"])
def test_inputs_and_outputs_may_not_overlap(numbers, tmp_path, where):
    out = tmp_path if where == "lies in the output" else tmp_path / "deep" / "out"
    given = numbers if where == "lies in the output" else str(tmp_path / "deep")
    (tmp_path / "deep").mkdir()
    with pytest.raises(UsageError, match=r"--numbers .* lies in --out|--out .* lies in --numbers"):
        run_job(SumJob(given, str(out)))


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (DataError("bad row"), DataError, 3),
        (FileNotFoundError(2, "No such file", "/data/x.csv"), DataError, 3),
        (BrokenPipeError(32, "Broken pipe"), BrokenPipeError, 4),  # of a socket or a child, not of what is printed
        (ValueError("what"), ValueError, 4),
    ],
)
def test_an_error_is_raised_and_its_status_is_left(numbers, tmp_path, error, kind, status):
    out = tmp_path / "out"
    with pytest.raises(kind):
        run_job(SumJob(numbers, str(out), before=raising(error)))
    assert status_of(out)["exit_status"] == status
    assert status_of(out)["error"]
    assert not list(out.glob("_done.json"))


class Py4JJavaError(Exception):
    """As Py4J's: its text has the trace."""

    java_exception = "what Java's toString gives"


@pytest.mark.parametrize(
    ("trace", "kind", "told"),
    [
        ("j.SparkException: aborted\ncxr_spark.errors.DataError: row 7: no such finding\n\tat x", DataError, "row 7"),
        ("j.SparkException: aborted\n\tat x\nCaused by: j.IOException: no route", RunError, "no route"),
        (
            "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0 failed 4 times\n"
            "\tat x\nCaused by: org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)\n\tat y\n"
            "Caused by: java.io.EOFException\n\tat z",
            RunError,
            "a Python process of an executor was killed or crashed",
        ),
    ],
)
def test_errors_of_java_are_told_as_this_package_tells_errors(numbers, tmp_path, trace, kind, told):
    error = Py4JJavaError(f"An error occurred while calling o1.collect.\n: {trace}")
    with pytest.raises(kind, match=told) as caught:
        run_job(SumJob(numbers, str(tmp_path / "out"), before=raising(error)))
    assert caught.value.__cause__ is error
    assert told in status_of(tmp_path / "out")["error"]


def test_an_interrupt_is_told_as_one_whatever_spark_makes_of_it(numbers, tmp_path):
    """Spark's own handler of Ctrl-C cancels its jobs, and what comes up is the error of a job that was cancelled."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise Py4JJavaError(": org.apache.spark.SparkException: Job 1 cancelled as part of cancellation of all jobs")

    try:
        with pytest.raises(KeyboardInterrupt):
            run_job(SumJob(numbers, str(tmp_path / "out"), before=work))
    finally:
        signal.signal(signal.SIGINT, before)
    assert status_of(tmp_path / "out")["error"].startswith("interrupted")
    assert signal.set_wakeup_fd(-1) == -1  # what it watched with is put away


def test_a_mark_of_something_else_is_told(numbers, tmp_path):
    out = tmp_path / "out"
    run_job(SumJob(numbers, str(out)))
    done = json.loads((out / "_done.json").read_text())
    (out / "_done.json").write_text(json.dumps({**done, "summary": {"total": "many"}}))
    with pytest.raises(UsageError, match=r"'total' is 'many': .* say --overwrite to do the work again"):
        run_job(SumJob(numbers, str(out)))
