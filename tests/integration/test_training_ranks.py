"""Trainings whose ranks, hosts or driver are lost, and barrier tasks in place of local ranks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.support.prepared_sets import write_prepared
from tests.support.trainings import SMALL, model_id, train, wait_for_step


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 50, "val": 11, "test": 5}, masked=0.1)


# Epochs enough that a job is still running when the test comes to kill it, on a fast machine too.
TWO_RANKS = ("--set", "train.epochs=3", "--workers", "2", "--set", "train.checkpoint_every_steps=1")


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory, spark):
    """The id of the model that two ranks make when nothing happens to them."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(data, out, *TWO_RANKS) == 0
    return model_id(out)


def start_command(data, out, log, before=()):
    """Runs the same as `train(data, out, *TWO_RANKS)` in a process group of its own."""
    command = [*before, sys.executable, "-m", "cxr_spark.commands.main", "train", *TWO_RANKS]
    command += ["--data", str(data), "--out", str(out)]
    for override in (*SMALL, "train.global_batch=10"):
        command += ["--set", override]
    with log.open("a") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)


def test_a_rank_that_dies_is_started_again(data, tmp_path, undisturbed):
    out, log = tmp_path / "run", tmp_path / "log"
    process = start_command(data, out, log)
    wait_for_step(out, 2, process, log)
    victims = ranks_of(process)
    assert len(victims) == 2
    os.kill(victims[-1], signal.SIGKILL)
    assert process.wait(300) == 0, log.read_text()[-3000:]
    assert "1 of 3 restarts" in log.read_text()
    assert model_id(out) == undisturbed


def test_a_host_whose_name_does_not_resolve(data, tmp_path, undisturbed):
    out, log = tmp_path / "run", tmp_path / "log"
    nameless = ["unshare", "--uts", "sh", "-ec", 'hostname no-such-host.invalid; exec "$@"', "sh"]
    if subprocess.run([*nameless, "true"], capture_output=True).returncode:
        pytest.skip("only root may give a process a host name of its own")
    process = start_command(data, out, log, nameless)
    assert process.wait(120) == 0, log.read_text()[-3000:]
    assert model_id(out) == undisturbed


def test_barrier_tasks_make_the_same_model_as_local_mode(data, tmp_path):
    """Two executors as processes of their own: the ranks find each other, and the driver shows what they print."""
    made = {}
    for name, master in (("local", "local[2]"), ("cluster", "local-cluster[2,1,1024]")):
        out = tmp_path / name
        command = [sys.executable, "-m", "cxr_spark.commands.main", "train", "--master", master, "--workers", "2"]
        command += ["--spark", "spark.cxr.sharedLocal=true", "--data", f"file://{data}", "--out", f"file://{out}"]
        for override in (*SMALL, "train.global_batch=10", "train.epochs=1", "train.threads_per_worker=1"):
            command += ["--set", override]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stderr.count("epoch 1/1 done") == 1  # of rank 0, by whichever way
        made[name] = model_id(out)
    assert made["local"] == made["cluster"]


def test_a_killed_job_leaves_a_lock_behind_and_the_same_command_goes_on(data, tmp_path, undisturbed):
    out, log = tmp_path / "run", tmp_path / "log"
    process = start_command(data, out, log)
    wait_for_step(out, 3, process, log)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (out / "_lock.json").exists()
    assert train(data, out, *TWO_RANKS) == 0
    assert model_id(out) == undisturbed


def ranks_of(process: subprocess.Popen) -> list[int]:
    """Finds the training processes below a job: each has a LOCAL_RANK."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        # Short-lived children come and go while they are looked at.
        with contextlib.suppress(psutil.Error):
            if "LOCAL_RANK" in child.environ():
                found.append(child.pid)
    return sorted(found)
