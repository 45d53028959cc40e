"""Commands whose output is closed, or that are told to end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command_line import ROOT, last_line, status_of


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m cxr_spark.commands.main config --schema | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == '{\n  "$defs'
    assert "Broken" not in done.stderr
    assert done.returncode == 0


SLOW_JOB = """
import sys, time
from dataclasses import dataclass
from types import SimpleNamespace
from cxr_spark.commands import main as cli
from cxr_spark.outputs.results import JobResult
from cxr_spark.outputs.job import Job, ReadyJob

def add_arguments(parser):
    parser.add_argument("--out")

@dataclass(frozen=True)
class SlowJob(Job):
    name = "job"
    result = JobResult
    out: str

    def inputs(self):
        return {}

    def read_inputs(self, run):
        return ReadyJob({}, self.work)

    def work(self, claimed):
        print("working", flush=True)
        time.sleep(600)

cli.COMMANDS["job"] = "does work"
module = SimpleNamespace(__doc__="", add_arguments=add_arguments, job=lambda args: SlowJob(args.out))
sys.modules["cxr_spark.commands.job"] = module
raise SystemExit(cli.main(["job", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")])
def test_a_signal_ends_a_run_cleanly(tmp_path: Path, number: signal.Signals, word: str) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", SLOW_JOB, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        time.sleep(0.1)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert f"cxr-spark job: {word}; run the same command again to go on" in err
    assert "job=job exit_status=4" in last_line(err)
    assert "Traceback" not in err
    assert status_of(out)["exit_status"] == 4
    assert sorted(path.name for path in out.iterdir()) == ["_cxr_spark.json", "_status.json"]  # no lock stays
