"""Readers of files that do what a hole in a library could make one do."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from cxr_spark.errors import UsageError
from cxr_spark.runtime.isolation import FileContent


def honest(data: bytes, what: str) -> FileContent:
    flat = np.frombuffer(data, np.uint8)
    return FileContent({"\ud800 no text": flat, "": np.zeros((0, 2), np.float32), "one": np.float64(3)}, {"what": what})


def refusing(data: bytes, what: str) -> FileContent:
    raise UsageError(f"{what}\nis none")


def surroundings(data: bytes, what: str) -> FileContent:
    opened = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.exists()]
    return FileContent(
        {}, {"environment": dict(os.environ), "mode": Path.cwd().stat().st_mode & 0o777, "opened": opened}
    )


def greedy(data: bytes, what: str) -> FileContent:
    return FileContent({"a": np.ones(1 << 30, np.uint8)}, None)


def endless(data: bytes, what: str) -> FileContent:
    while True:
        pass


def sleeping(data: bytes, what: str) -> FileContent:
    time.sleep(3600)
    return FileContent({}, None)


def crashing(data: bytes, what: str) -> FileContent:
    import ctypes

    ctypes.string_at(0)
    return FileContent({}, None)


def killed(data: bytes, what: str) -> FileContent:
    signal.raise_signal(signal.SIGKILL)
    return FileContent({}, None)


def connecting(data: bytes, what: str) -> FileContent:
    with contextlib.suppress(Exception):  # as readers pass over whatever goes wrong
        socket.create_connection(("127.0.0.1", int(data)), timeout=5)
    return FileContent({}, None)


def starting_a_process(data: bytes, what: str) -> FileContent:
    subprocess.run([sys.executable, "-c", ""], check=False)
    return FileContent({}, None)


def running_a_shell(data: bytes, what: str) -> FileContent:
    os.system("true")
    return FileContent({}, None)


def writing(data: bytes, what: str) -> FileContent:
    Path(data.decode()).write_text("harm")
    return FileContent({}, None)


def deleting(data: bytes, what: str) -> FileContent:
    Path(data.decode()).unlink()
    return FileContent({}, None)


def lying(data: bytes, what: str) -> FileContent:
    Path("arrays.safetensors").write_bytes(data)
    Path("answer.json").write_text('{"names": ["a"], "note": null}')
    os._exit(0)


def broken(data: bytes, what: str) -> FileContent:
    raise ZeroDivisionError("a fault of the program")
