"""Processes: which is which, how they are ended, and the jobs of a pipeline as children of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

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


class Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers send it: the run ends as by Ctrl-C, cleanly."""


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Raises `Terminated` in the main thread at SIGTERM; a second one cannot break the cleaning up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def note_interrupts() -> Iterator[Callable[[], KeyboardInterrupt | None]]:
    """Notes SIGINT and SIGTERM, whoever handles them.

    Spark handles Ctrl-C itself: it cancels its jobs, which then fail with an error of Java's. Where a terminal sends
    Ctrl-C to the JVM, too, Py4J tells of a lost connection. Neither error says that the user wanted the run to end.

    Yields:
        A function that returns the exception which tells of the signal, or None where none has come so far.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)  # Python writes each signal's number there
    seen = bytearray()

    def interrupted() -> KeyboardInterrupt | None:
        with contextlib.suppress(BlockingIOError):
            seen.extend(os.read(reader, 4096))
        if signal.SIGTERM in seen:
            return Terminated()
        return KeyboardInterrupt() if signal.SIGINT in seen else None

    try:
        yield interrupted
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


#: In the environment of a pipeline's jobs: the process number of the pipeline.
_PIPELINE_PID = "CXR_SPARK_PIPELINE_PID"
_LOOK_EVERY = 0.5
#: How long a child that was told to end may take before it is killed, in seconds.
GRACE = 30.0


def run_child(command: Sequence[str], environment: Mapping[str, str], stdout: int | TextIO) -> int:
    """Runs a command to its end.

    It is in the process group of this process, so that Ctrl-C reaches it and whoever kills the group kills it too;
    SIGTERM is handed on; and if this process alone is killed, the child sees that and ends (`end_with_pipeline`).

    Returns:
        Its exit status; of one that a signal ended, the signal's number negative.

    Raises:
        KeyboardInterrupt: this process was told to end. The child has ended by then.
    """
    own = {**environment, _PIPELINE_PID: str(os.getpid())}
    with subprocess.Popen(command, stdout=stdout, stdin=subprocess.DEVNULL, env=own) as child:
        try:
            return child.wait()
        except KeyboardInterrupt as reason:
            _end(child, told=not isinstance(reason, Terminated))
            raise


def _end(child: subprocess.Popen[bytes], told: bool) -> None:
    try:
        if told:  # by the same Ctrl-C
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE / 3)
                return
        child.terminate()
        child.wait(GRACE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        child.wait()


def how_it_ended(status: int) -> str:
    """Tells how a process ended, from what `Popen.poll` returns."""
    if status >= 0:
        return f"ended with exit status {status}"
    with contextlib.suppress(ValueError):
        return f"was killed by signal {-status} ({signal.Signals(-status).name})"
    return f"was killed by signal {-status}"


def children() -> set[int]:
    """Returns the numbers of all processes that descend from this one."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


def end_children(but: set[int]) -> None:
    """Ends all processes that descend from this one.

    A JVM ends by itself when its Python is gone, but not one that was just starting: it waits for ever.

    Args:
        but: the processes that were there before this run started, which are left alone.
    """
    found = [child for child in psutil.Process().children(recursive=True) if child.pid not in but]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for child in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(child)
        _, found = psutil.wait_procs(found, timeout=GRACE / 3)


def end_with_pipeline() -> None:
    """In a job of a pipeline: ends this process, as by SIGTERM, when the pipeline is gone."""
    pipeline = os.environ.pop(_PIPELINE_PID, None)
    if pipeline is not None:
        threading.Thread(target=_watch, args=(int(pipeline),), name="pipeline-watch", daemon=True).start()


def _watch(pipeline: int) -> None:
    while os.getppid() == pipeline:
        time.sleep(_LOOK_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
