"""The status that a run leaves in its output, and its log."""

from __future__ import annotations

import argparse
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxr_spark import errors
from cxr_spark.commands.main import main
from cxr_spark.outputs.claim import Claim
from cxr_spark.outputs.job import Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult
from tests.support.command_line import failing, status_of


@pytest.fixture
def folder_job(job: SimpleNamespace) -> SimpleNamespace:
    """A command `job` that writes to a folder: `job.work(args)` returns the job that is then run."""
    job.job = lambda args: job.work(args)
    return job


def working(error: BaseException | None) -> Any:
    def work(claimed: Claim, number: int | None) -> NumberResult:
        if error is not None:
            raise error
        return NumberResult(out=claimed.store.uri, n=number)

    return lambda args: NumberJob(args.out, args.n, work)


class NumberResult(JobResult):
    n: int | None


@dataclass(frozen=True)
class NumberJob(Job[NumberResult]):
    """A job whose work the test gives, and whose result is a number."""

    name = "job"
    result = NumberResult
    out: str
    n: int | None
    work: Any

    def inputs(self) -> dict[str, Input]:
        return {}

    def read_inputs(self, run: JobRun) -> ReadyJob[NumberResult]:
        return ReadyJob({"n": self.n}, lambda claimed: self.work(claimed, self.n))


def test_status_of_success_and_failure_is_left_in_the_output(folder_job: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder_job.work = working(errors.DataError("too many bad images"))
    assert main(["job", "--out", str(out), "--n", "1"]) == 3
    status = status_of(out)
    assert (status["job"], status["exit_status"], status["error"]) == ("job", 3, "too many bad images")
    folder_job.work = working(None)
    assert main(["job", "--out", str(out), "--n", "1"]) == 0
    status = status_of(out)
    assert (status["exit_status"], status["error"], status["summary"]) == (0, None, {"out": f"file://{out}", "n": 1})
    # Refused, as the finished output is of other settings: the scheduler has to see that too.
    assert main(["job", "--out", str(out), "--n", "2"]) == 2
    assert status_of(out)["exit_status"] == 2
    assert "n was 1, is 2" in status_of(out)["error"]


def test_status_of_a_run_that_failed_before_it_had_its_output(folder_job: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder_job.work = failing(errors.DataError("labels.csv has no column 'Finding Labels'"))
    assert main(["job", "--out", str(out)]) == 3
    assert status_of(out)["exit_status"] == 3
    assert main(["job", "--out", str(out), "--set", "nosuch=1"]) == 2
    assert status_of(out)["exit_status"] == 2


def test_no_status_in_a_folder_of_someone_else(folder_job: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    for work in (failing(errors.DataError("bad")), working(None)):
        folder_job.work = work
        assert main(["job", "--out", str(tmp_path)]) != 0
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_log_can_be_read(job: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    def work(args: argparse.Namespace) -> dict[str, object]:
        logging.getLogger("cxr_spark.some.part").info("found %d images", 3)
        logging.getLogger("cxr_spark.some.part").debug("detail")
        logging.getLogger("library").info("chatter")
        return {}

    job.work = work
    assert main(["job"]) == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO cxr_spark\.some\.part: found 3 images", lines[0])
    assert main(["job", "--debug"]) == 0
    assert "detail" in capsys.readouterr().err
