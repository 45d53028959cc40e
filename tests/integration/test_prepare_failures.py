"""The prepare job when its tasks fail, or when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from cxr_spark.preparation import job
from tests.support.nih_folders import arguments_for, image, make_set, manifest_of, parquet_files, prepare

ROOT = Path(__file__).resolve().parents[2]


FAILING_TASK = """
    import sys
    from pyspark import TaskContext
    import cxr_spark.preparation.job as job
    from cxr_spark.commands.main import main

    class FailsOnce(job.PartWriter):
        '''Writes its files and then dies, on the first attempt of every task.'''

        def write(self, part):
            written = super().write(part)
            if TaskContext.get().attemptNumber() == 0:
                raise OSError("injected")
            return written

    job.PartWriter = FailsOnce
    sys.exit(main(sys.argv[1:]))
"""


def start(arguments, script=None, **options):
    command = [
        sys.executable,
        *(["-c", textwrap.dedent(script)] if script else ["-m", "cxr_spark.commands.main"]),
        *arguments,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE, **options)


def test_failed_tasks_leave_no_stray_file(tmp_path):
    make_set(tmp_path, {f"{i:02d}.png": image() for i in range(12)} | {"99.png": b""})
    process = start(arguments_for(tmp_path, "--max-bad-fraction", "0.5", "--master", "local[2,2]"), FAILING_TASK)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    manifest = manifest_of(tmp_path)
    assert manifest["prepared"] == 12
    assert manifest["quarantined"] == {"empty": 1}
    assert [str(p.relative_to(tmp_path / "out")) for p in parquet_files(tmp_path)] == sorted(
        file["name"] for file in manifest["files"]
    )
    assert len(pd.read_parquet(tmp_path / "out" / "data")) == 12


def test_a_task_that_keeps_failing_ends_the_run_with_its_reason(spark, tmp_path, monkeypatch, capsys):
    class Fails(job.PartWriter):
        def write(self, part):
            super().write(part)
            raise OSError("injected")

    monkeypatch.setattr(job, "PartWriter", Fails)
    make_set(tmp_path, {f"{i:02d}.png": image() for i in range(6)})
    assert prepare(tmp_path) == 4
    assert "cxr-spark prepare: preparing failed: OSError: injected\n" in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.undo()
    assert prepare(tmp_path) == 0
    assert len(parquet_files(tmp_path)) == len(manifest_of(tmp_path)["files"])


def test_killed_run_goes_on_with_the_same_command(tmp_path, spark):
    big = cv2.imencode(".png", np.zeros((2000, 2000), dtype=np.uint8))[1].tobytes()  # slow to prepare, small on disk
    make_set(tmp_path, {f"{i:03d}.png": big for i in range(150)})
    process = start(arguments_for(tmp_path), start_new_session=True)
    deadline = time.monotonic() + 200
    while not parquet_files(tmp_path) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert parquet_files(tmp_path), "killed too early to tell"
    assert not (tmp_path / "out" / "manifest.json").exists(), "killed too late to tell"
    assert prepare(tmp_path) == 0
    manifest = manifest_of(tmp_path)
    assert manifest["prepared"] == 150
    assert len(parquet_files(tmp_path)) == len(manifest["files"])
