"""The jobs of a pipeline as processes: they end with it, and their exit statuses are told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cxr_spark.config import load_settings
from cxr_spark.recipes.child_jobs import ChildJobError, child_jobs, run_child_job
from cxr_spark.storage.store import Store, resolve

ROOT = Path(__file__).resolve().parents[3]


FAKE_JOB = """
import json, os, signal, sys, time
from pathlib import Path
from cxr_spark.runtime.processes import end_with_pipeline, terminate_as_interrupt

folder = Path(sys.argv[1])
with terminate_as_interrupt():
    end_with_pipeline()
    try:
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(600)
    except KeyboardInterrupt as reason:
        (folder / "ended").write_text(type(reason).__name__)
        sys.exit(4)
"""


FAKE_PIPELINE = """
import os, sys
from cxr_spark.runtime.processes import run_child, terminate_as_interrupt

with terminate_as_interrupt():
    try:
        run_child([sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ, sys.stderr)
    except KeyboardInterrupt as reason:
        sys.exit(f"pipeline: {type(reason).__name__}")
"""


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("number", "group", "job_ends"),
    [
        (signal.SIGTERM, False, "Terminated"),  # of a scheduler
        (signal.SIGINT, True, "KeyboardInterrupt"),  # Ctrl-C reaches the whole group
        (signal.SIGKILL, False, "Terminated"),  # only the pipeline is killed
        (signal.SIGKILL, True, None),  # all at once
    ],
)
def test_a_job_ends_with_its_pipeline(
    tmp_path: Path, number: signal.Signals, group: bool, job_ends: str | None
) -> None:
    command = [sys.executable, "-c", FAKE_PIPELINE, FAKE_JOB, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE) as pipeline:
        wait_for((tmp_path / "pid").exists)
        time.sleep(0.2)
        job = int((tmp_path / "pid").read_text())
        os.killpg(pipeline.pid, number) if group else pipeline.send_signal(number)
        _, err = pipeline.communicate(timeout=60)
    wait_for(lambda: not alive(job))
    if job_ends is not None:
        assert (tmp_path / "ended").read_text() == job_ends
    else:
        assert not (tmp_path / "ended").exists()
    if number != signal.SIGKILL:
        assert f"pipeline: {'Terminated' if number == signal.SIGTERM else 'KeyboardInterrupt'}" in err.decode()


STUBBORN_JOB = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(Path(sys.argv[1]) / "pid").write_text(str(os.getpid()))
time.sleep(600)
"""


def test_a_job_that_does_not_end_is_killed(tmp_path: Path) -> None:
    program = FAKE_PIPELINE.replace(
        "with terminate", "import cxr_spark.runtime.processes as p; p.GRACE = 0.5\nwith terminate", 1
    )
    command = [sys.executable, "-c", program, STUBBORN_JOB, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as pipeline:
        wait_for((tmp_path / "pid").exists)
        time.sleep(0.2)
        pipeline.terminate()
        pipeline.wait(60)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_job_that_fails_gives_its_exit_status(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = load_settings(None, [f"pipeline.out={tmp_path}/out", "pipeline.steps=[evaluate]"])
    (job,) = child_jobs(settings)
    with pytest.raises(ChildJobError, match=r"evaluate failed with exit status 2: .* run the pipeline again") as caught:
        run_child_job(job, resolve(job.out), ["--set=nosuch=1"], None, {})
    assert caught.value.exit_status == 2
    assert "unknown setting 'nosuch'" in capfd.readouterr().err


def test_finished_jobs_are_run_again_only_to_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A settings file of a relative path, a pipeline of jobs that stand in for the real ones."""
    commands: list[list[str]] = []

    def run_child(command: list[str], environment: dict[str, str], stdout: object) -> int:
        commands.append(command)
        out = next(word for word in command if word.startswith("--out=")).removeprefix("--out=")
        Store(resolve(out)).write_json("_done.json", {"job": command[3], "summary": {"job": command[3]}})
        return 0

    from cxr_spark.commands.main import main

    monkeypatch.setattr("cxr_spark.recipes.child_jobs.run_child", run_child)
    monkeypatch.chdir(tmp_path)
    for name in ("images",):
        (tmp_path / name).mkdir()
    (tmp_path / "labels.csv").write_text("")
    (tmp_path / "p.yaml").write_text(
        "prepare: {images: images, labels: labels.csv}\n"
        "pipeline: {out: out, spark: {all: {spark.a: 1}, train: {spark.b: 2}}}"
    )
    assert main(["pipeline", "--config", "p.yaml", "--set", "train.epochs=2", "--spark", "spark.c=3", "--check"]) == 0
    assert commands == []
    assert main(["pipeline", "--config", "p.yaml", "--set", "train.epochs=2", "--spark", "spark.c=3"]) == 0
    summary = json.loads(capfd.readouterr().out)
    assert list(summary) == ["prepare", "train", "score", "evaluate"]
    assert summary["score"] == {"job": "score"}
    assert [command[3] for command in commands] == ["prepare", "train", "score", "evaluate"]
    settings = {"--spark=spark.a=1", "--spark=spark.b=2", "--spark=spark.c=3"}
    assert {"--config=p.yaml", "--set=train.epochs=2", *settings} <= set(commands[1])
    assert "--spark=spark.b=2" not in commands[2]
    # Once it is done, inputs that are gone do not matter.
    (tmp_path / "labels.csv").unlink()
    assert main(["pipeline", "--config", "p.yaml"]) == 0
    assert main(["pipeline", "--config", "p.yaml", "--check"]) == 2
