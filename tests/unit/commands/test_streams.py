"""Standard output and standard error whose reader is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

#: A command that logs, prints and starts children for a while after its reader has gone, and then ends as it is told.
COMMAND = """
import logging, subprocess, sys, time
from types import SimpleNamespace
from cxr_spark.commands import main as cli
from cxr_spark.errors import DataError

def run(args):
    for i in range(50):
        print("printed", i, flush=True)
        print("told", i, file=sys.stderr, flush=True)
        logging.getLogger("cxr_spark.x").info("logged %d", i)
        time.sleep(0.01)
    subprocess.run([sys.executable, "-c", "print('child')"], check=True)
    open(args.out, "w").write("whole")
    if args.fail:
        raise DataError("bad")
    return {"n": 1}

def add_arguments(parser):
    parser.add_argument("--out")
    parser.add_argument("--fail", action="store_true")

cli.COMMANDS["job"] = "does work"
sys.modules["cxr_spark.commands.job"] = SimpleNamespace(__doc__="", add_arguments=add_arguments, run=run)
sys.exit(cli.main(["job", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(("options", "status"), [("", 0), ("--fail", 3)])
def test_a_job_goes_on_without_a_reader_and_its_status_is_its_own(tmp_path, options, status):
    """`cxr-spark train ... 2>&1 | head -2`."""
    script, out = tmp_path / "job.py", tmp_path / "out"
    script.write_text(COMMAND)
    line = f"{sys.executable} {script} --out {out} {options} 2>&1 | head -2; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == status
    assert out.read_text() == "whole"
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""
