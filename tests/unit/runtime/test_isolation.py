"""Files are read in a child process: what a hole could make a reader do ends there, in one clear line."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from cxr_spark.errors import DataError, RunError, UsageError
from cxr_spark.runtime.isolation import FileContent, Limits, Reader, read_apart
from tests.support import harmful_readers as readers

SMALL = Limits(memory=256 << 20, file=2 << 30)


def read(reader: Reader, data: bytes = b"data", limits: Limits = SMALL) -> FileContent:
    return read_apart(reader, data, "w.h5", limits)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_arrays_and_names_come_as_they_are(temporary: Path) -> None:
    parts = read(readers.honest, b"abc")
    assert list(parts.arrays) == ["\ud800 no text", "", "one"]
    assert parts.arrays["\ud800 no text"].tobytes() == b"abc"
    assert parts.arrays[""].shape == (0, 2)
    assert parts.arrays["one"].shape == ()
    assert float(parts.arrays["one"]) == 3
    assert parts.note == {"what": "w.h5"}
    assert not list(temporary.iterdir())


def test_an_error_of_the_reader_keeps_its_kind_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^w\.h5 is none$"):
        read(readers.refusing)


def test_the_child_has_no_secrets_and_no_open_files_of_the_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        note = read(readers.surroundings).note
    assert not any(name.endswith("/open") for name in note["opened"])
    assert "hunter2" not in note["environment"].values()
    assert note["mode"] == 0o700


@pytest.mark.parametrize(
    ("reader", "limits", "message"),
    [
        (readers.greedy, SMALL, r"needs more than the 268,435,456 bytes of memory"),
        (readers.endless, Limits(256 << 20, 2 << 30, cpu_seconds=1), r"within 1 seconds of processor time"),
        (readers.sleeping, Limits(256 << 20, 2 << 30, seconds=3), r"within 3 seconds: it is damaged or made to harm"),
        (readers.crashing, SMALL, r"w\.h5 was killed by signal 11 \(SIGSEGV\): the file crashes"),
        (readers.starting_a_process, SMALL, r"made its reader try subprocess\.Popen, which is refused"),
        (readers.running_a_shell, SMALL, r"made its reader try os\.system, which is refused"),
        (readers.greedy, Limits(4 << 30, 1 << 20), r"w\.h5 gives more than 1,048,576 bytes of arrays"),
    ],
)  # fmt: skip
def test_what_a_file_must_not_do(reader: Reader, limits: Limits, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(reader, limits=limits)
    assert "\n" not in str(caught.value)


def test_no_connection_is_opened_even_where_the_reader_passes_over_errors() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        with pytest.raises(DataError, match=r"made its reader try socket\.\w+"):
            read(readers.connecting, str(server.getsockname()[1]).encode())
        with pytest.raises(BlockingIOError):
            server.accept()


def test_files_elsewhere_are_neither_written_nor_deleted(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("whole")
    with pytest.raises(DataError, match=r"made its reader try open .*victim"):
        read(readers.writing, str(victim).encode())
    with pytest.raises(DataError, match=r"made its reader try os\.remove"):
        read(readers.deleting, str(victim).encode())
    assert victim.read_text() == "whole"


def test_a_child_that_is_killed_from_outside_is_no_fault_of_the_file() -> None:
    with pytest.raises(RunError, match=r"was killed by signal 9 \(SIGKILL\), from outside: free memory"):
        read(readers.killed)


def test_a_fault_of_the_program_is_told_by_its_last_line() -> None:
    with pytest.raises(RunError, match=r"ended with exit status 1: ZeroDivisionError: a fault of the program$"):
        read(readers.broken)


@pytest.mark.parametrize("arrays", [b"", b"\xff" * 100])
def test_what_a_child_hands_back_is_not_believed(arrays: bytes) -> None:
    with pytest.raises(DataError, match="came out of its reader damaged"):
        read(readers.lying, arrays)


def test_a_temporary_folder_without_space_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/none")
    with pytest.raises(RunError, match="set TMPDIR"):
        read(readers.honest)
