"""The child process that reads one foreign file: `isolation.py` starts it, and says what it holds against."""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import safetensors.numpy

from cxr_spark.errors import CxrError
from cxr_spark.runtime.isolation import ANSWER, ARRAYS, HARM, SOURCE, Limits, Reader

#: Audit events of Python, or beginnings of their names, that no reader of a file causes: connections and processes.
_REFUSED = (
    "socket.", "subprocess.", "os.exec", "os.fork", "os.kill", "os.posix_spawn", "os.spawn", "os.startfile",
    "os.system", "pty.spawn", "signal.pthread_kill",
)  # fmt: skip
#: Those that change files by name: refused too, since a reader writes its two files only.
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(BaseException):
    """A reader did what is refused. It is no `Exception`, so that no reader passes over it."""


def main(request_json: str) -> None:
    """Reads the file of the current folder, and leaves the answer there.

    Args:
        request_json: the reader, the file's name for messages, and the limits.
    """
    request = json.loads(request_json)
    folder = Path.cwd()
    module, _, function = request["reader"].partition(":")
    reader: Reader = getattr(importlib.import_module(module), function)
    limits = Limits(**request["limits"])
    confine(folder, limits)
    answer = _answer(folder, reader, request["what"], limits)
    (folder / ANSWER).write_text(json.dumps(answer), encoding="ascii")


def confine(folder: Path, limits: Limits) -> None:
    """Sets the limits of this process, for good, and refuses what no reader of a file does."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = math.ceil(used.ru_utime + used.ru_stime) + limits.cpu_seconds
    _lower(resource.RLIMIT_AS, psutil.Process().memory_info().vms + limits.memory)
    _lower(resource.RLIMIT_FSIZE, limits.file)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, cpu, spare=5)  # SIGXCPU first, SIGKILL later
    signal.alarm(limits.seconds)  # ends this process even where the parent is gone

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith((*_REFUSED, *_CHANGES)) or (event == "open" and _writes_elsewhere(folder, args)):
            raise Refused(f"{event} {args[0]!r}" if event == "open" else event)

    sys.addaudithook(hook)


def _lower(kind: int, value: int, spare: int = 0) -> None:
    _, hard = resource.getrlimit(kind)
    most = value + spare if hard == resource.RLIM_INFINITY else min(value + spare, hard)
    resource.setrlimit(kind, (min(value, most), most))


def _writes_elsewhere(folder: Path, args: tuple[Any, ...]) -> bool:
    path, _, flags = args
    if not isinstance(flags, int) or not flags & _WRITING or isinstance(path, int) or path == os.devnull:
        return False
    return not os.path.abspath(os.fsdecode(path)).startswith(f"{folder}{os.sep}")  # noqa: PTH100


def _answer(folder: Path, reader: Reader, what: str, limits: Limits) -> dict[str, Any]:
    try:
        parts = reader((folder / SOURCE).read_bytes(), what)
        numbered = {str(i): np.asarray(array, order="C") for i, array in enumerate(parts.arrays.values())}
        if sum(array.nbytes for array in numbered.values()) > limits.file:
            return _error("DataError", f"{what} gives more than {limits.file:,} bytes of arrays: {HARM}")
        safetensors.numpy.save_file(numbered, folder / ARRAYS)
    except CxrError as error:
        return _error(type(error).__name__, str(error))
    except MemoryError:
        message = f"{what} needs more than the {limits.memory:,} bytes of memory that reading a file of its size takes"
        return _error("DataError", f"{message}: {HARM}")
    except Refused as error:
        return _error("DataError", f"{what} made its reader try {error}, which is refused: it is made to harm")
    return {"names": list(parts.arrays), "note": parts.note}


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message}}


if __name__ == "__main__":
    main(sys.argv[1])
