"""Finds processes of a job on a host, to do them harm."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psutil

from tests.cluster.support.network import Host


def on_host(host: Host, wanted: Callable[[list[str]], bool]) -> list[psutil.Process]:
    """Returns the processes on a host whose command line is wanted; on loopback hosts those of the host's address."""
    if host.isolated:
        found = [psutil.Process(pid) for pid in host.processes() if psutil.pid_exists(pid)]
    else:
        found = [p for p in psutil.process_iter() if _belongs(p, host)]
    return [process for process in found if wanted(_command(process))]


def _belongs(process: psutil.Process, host: Host) -> bool:
    try:
        return process.environ().get("SPARK_LOCAL_IP") == host.address
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def is_executor(command: list[str]) -> bool:
    """Whether a command line is that of a Spark executor."""
    return any("CoarseGrainedExecutorBackend" in part for part in command)


def is_rank(command: list[str]) -> bool:
    """Whether a command line is that of a training rank, as torchrun starts it."""
    return bool(command) and command[-1].endswith("train.py") and "torch_run_process_wrapper" not in " ".join(command)


def kill(processes: list[psutil.Process]) -> int:
    """Kills processes, and returns how many there were."""
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    return len(processes)
