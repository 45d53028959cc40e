"""Runs the reader of a foreign file in a child process, so that a hole in HDF5 or in unpickling is none here.

One import is one child. It gets the file in a private folder, hands back arrays as safetensors and names as JSON, and
the parent checks both. What this holds against:

- A file that takes any amount of memory, disk or time: the child's address space, files, CPU time and time are limited,
  and the parent goes on.
- A crash, such as a write past a buffer that ends in SIGSEGV: the child alone dies.
- Python code that a file smuggles in: connections, processes, and writing outside of the folder are refused, and the
  child has neither the parent's environment variables, where secrets may be, nor its open files.

What it does not hold against: machine code. Whoever gains control of the child by a hole in a library written in C
passes by the hooks of Python, reads the files that this user can read, and can open connections. Only a container or a
virtual machine without network holds against that. Keep the versions of `conf/advisories.md`.

The limit of memory is the kernel's on the address space (RLIMIT_AS), which Linux enforces.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from cxr_spark.errors import CxrError, DataError, RunError, error_class
from cxr_spark.runtime.processes import how_it_ended

MODULE = "cxr_spark.runtime.isolated_child"
#: Files in the private folder.
SOURCE, ARRAYS, ANSWER, _LOG = "source", "arrays.safetensors", "answer.json", "log.txt"
#: Bytes of names and configuration that a child may hand back; ResNet-50's take 50 kB.
_MAX_ANSWER = 64 << 20
_MAX_MESSAGE = 2000
#: What is said of a file that exceeds a limit.
HARM = "it is damaged or made to harm; copy it again"
#: Variables that a child gets from the parent: where programs and libraries are, and how text is encoded.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ")


class FileContent(NamedTuple):
    """What a reader finds in a file.

    Attributes:
        arrays: the arrays of numbers by name.
        note: anything else, as JSON can hold it.
    """

    arrays: dict[str, NDArray[Any]]
    note: Any


#: Bytes of a file, and its name for messages, to what it holds. It is a function of a module, not a lambda.
Reader = Callable[[bytes, str], FileContent]


@dataclass(frozen=True)
class Limits:
    """The most memory, time and space that a child may take.

    Attributes:
        memory: bytes of address space, beyond what it has before it opens the file.
        file: bytes of any file that it writes, and so of the arrays that it hands back.
        cpu_seconds: seconds of processor time, counted from the end of its start.
        seconds: seconds of time, counted from the beginning of its start.
    """

    memory: int
    file: int
    cpu_seconds: int = 300
    seconds: int = 900


def read_apart(reader: Reader, data: bytes, what: str, limits: Limits) -> FileContent:
    """Runs a reader in a child process.

    Args:
        reader: the function that reads the file there.
        data: the bytes of the whole file.
        what: the name of the file, for messages.
        limits: the most memory, time and space that the child may take.

    Raises:
        CxrError: the one that the reader raised.
        DataError: the file took too much memory or time, crashed its reader, or made it do what is refused.
        RunError: the child could not run, or was killed from outside.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="cxr-import-") as name:  # of mode 0700
            folder = Path(name)
            (folder / SOURCE).write_bytes(data)
            _run(folder, reader, what, limits)
            return _content(folder, what, limits)
    except OSError as error:
        raise RunError(
            f"{what} cannot be handed to the process that reads it, through {tempfile.gettempdir()} ({error}): set "
            "TMPDIR to a folder with space for the file twice"
        ) from None


def _run(folder: Path, reader: Reader, what: str, limits: Limits) -> None:
    request = {"reader": f"{reader.__module__}:{reader.__qualname__}", "what": what, "limits": asdict(limits)}
    command = [sys.executable, "-m", MODULE, json.dumps(request)]
    with (folder / _LOG).open("wb") as log:
        try:
            status = subprocess.run(
                command,
                cwd=folder,
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=limits.seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = -signal.SIGALRM
    if status == 0:
        return
    if status == -signal.SIGALRM:
        raise DataError(f"{what} could not be read within {limits.seconds:,} seconds: {HARM}")
    if status == -signal.SIGXCPU:
        raise DataError(f"{what} could not be read within {limits.cpu_seconds:,} seconds of processor time: {HARM}")
    ended = f"the process that reads {what} {how_it_ended(status)}"
    if status in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
        raise RunError(f"{ended}, from outside: free memory if the system was short of it, and import the file again")
    if status < 0:
        raise DataError(f"{ended}: the file crashes its reader; {HARM}")
    lines = (folder / _LOG).read_bytes()[-_MAX_MESSAGE:].decode(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    raise RunError(f"{ended}: {_one_line(last)}")


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def _content(folder: Path, what: str, limits: Limits) -> FileContent:
    """Reads what the child left. It may have been taken over: nothing of it is believed."""
    try:
        answer = json.loads(_bytes(folder / ANSWER, _MAX_ANSWER))
        if "error" in answer:
            raise _error(answer["error"])
        arrays = safetensors.numpy.load(_bytes(folder / ARRAYS, limits.file))
        names = answer["names"]
        if len(names) != len(arrays) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{len(arrays)} arrays have {len(names)} names")
        by_name = {name: np.require(arrays[str(i)], requirements="W") for i, name in enumerate(names)}
        return FileContent(by_name, answer["note"])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, FileNotFoundError) as error:
        reason = _one_line(f"{type(error).__name__} {error}")
        raise DataError(f"{what} came out of its reader damaged ({reason}): it is made to harm") from None


def _bytes(path: Path, most: int) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise FileNotFoundError(path.name)
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{path.name} has more than {most:,} bytes")
    return data


def _error(told: Mapping[str, object]) -> CxrError:
    return error_class(told["kind"])(_one_line(str(told["message"])))


def _one_line(text: str) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown if len(shown) <= _MAX_MESSAGE else shown[:_MAX_MESSAGE] + " ..."
