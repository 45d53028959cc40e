"""Which process is which: names that tell a living holder of a lock from one that is gone."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil


def where() -> str:
    """Names the place in which process numbers of this machine mean what they mean here.

    A host's name is not enough: containers share it over machines, a container's own processes have numbers of their
    own, and after a start of the machine all numbers begin anew.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:  # not Linux
        boot, namespace = str(psutil.boot_time()), ""
    return f"{socket.gethostname()} {boot} {namespace}"


def started(pid: int) -> float | None:
    """Returns when a process of this machine began, or None if it is gone or only waits to be reaped.

    The number serves to tell apart two processes that had the same pid: on Linux it is clock ticks since the start of
    the machine (proc(5), field 22 of /proc/PID/stat), which no change of the clock alters.
    """
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists():
            return float(process.create_time())
        return float(stat.read_bytes().rpartition(b")")[2].split()[19])
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError, ValueError):
        return None
