"""Finds processes of a job on a host, to do them harm at a moment that no test has to guess.

What is stopped when the first task starts cannot end before the test has done what it wants to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import psutil

from tests.cluster.support.network import Host
from tests.cluster.support.submit import Job


def on_host(host: Host, wanted: Callable[[list[str]], bool]) -> list[psutil.Process]:
    """Returns the processes on a host whose command line is wanted."""
    found = [psutil.Process(pid) for pid in host.processes() if psutil.pid_exists(pid)]
    return [process for process in found if wanted(_command(process))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def is_executor(command: list[str]) -> bool:
    """Whether a command line is that of a Spark executor."""
    return any("CoarseGrainedExecutorBackend" in part for part in command)


def is_task(command: list[str]) -> bool:
    """Whether a command line is that of the Python of tasks."""
    return "pyspark.daemon" in command


def is_rank(command: list[str]) -> bool:
    """Whether a command line is that of a training rank."""
    return command[-2:] == ["-m", "cxr_spark.training.rank.task"]


def first_task(job: Job, hosts: Sequence[Host]) -> Host:
    """Waits for the Python of the first task on one of the hosts, and returns which host that is."""

    def started() -> list[Host]:
        return [host for host in hosts if on_host(host, is_task)]

    found = job.wait_until(started, "task")
    assert isinstance(found, list)
    return found[0]


def stop_first_task(job: Job, hosts: Sequence[Host]) -> Host:
    """Stops that Python, before it has imported what it needs; `resume` lets it go on."""
    host = first_task(job, hosts)
    suspend(host, is_task)
    return host


def suspend(host: Host, wanted: Callable[[list[str]], bool]) -> None:
    """Stops processes on a host until `resume`."""
    stopped: set[psutil.Process] = set()
    while new := set(on_host(host, wanted)) - stopped:  # until none is forked any more
        _signal(new, psutil.Process.suspend)
        stopped |= new


def resume(host: Host, wanted: Callable[[list[str]], bool]) -> None:
    """Lets processes go on."""
    _signal(on_host(host, wanted), psutil.Process.resume)


def kill(host: Host, *wanted: Callable[[list[str]], bool]) -> None:
    """Kills processes on a host, of each kind at least one."""
    for kind in wanted:
        found = on_host(host, kind)
        assert found, f"nothing to kill on {host.name}"
        _signal(found, psutil.Process.kill)


def _signal(processes: Sequence[psutil.Process] | set[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            send(process)
