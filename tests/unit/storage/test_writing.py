"""Files that are written while others read, write or kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cxr_spark.errors import RunError
from cxr_spark.storage.store import Store
from tests.support.racing import race, ready

WRITER = """
import sys
from cxr_spark.storage.store import Store
store = Store(sys.argv[1])
print("ready", flush=True)
while True:
    for byte in b"ab":
        store.write_bytes("file", bytes([byte]) * 3_000_000)
"""


def test_a_reader_never_sees_a_part_of_a_file_whose_writer_is_killed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_bytes("file", b"0" * 3_000_000)
    seen = set()
    for attempt in range(8):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            end = time.monotonic() + 0.02 + 0.013 * attempt
            while time.monotonic() < end:
                data = store.read_bytes("file")
                assert len(data) == 3_000_000
                assert len(set(data)) == 1
                seen.add(data[:1])
            writer.send_signal(signal.SIGKILL)
        data = store.read_bytes("file")
        assert len(data) == 3_000_000
        assert len(set(data)) == 1
    assert seen & {b"a", b"b"}  # the writers did write meanwhile
    store.delete_temporaries()
    assert store.names() == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    store.write_bytes("file", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"^cannot write file://.*/file: No space left on device$"):
        store.write_bytes("file", b"new")
    assert store.read_bytes("file") == b"old"
    assert store.names() == ["file"]  # nothing half written stays


def race_for_the_prize(uri: str, number: int) -> None:
    store = Store(uri)
    ready(store, number)
    if store.create_exclusive("prize", b"%02d" % number * 1000):
        store.write_bytes(f"won/{number:02}", b"")


def test_of_twenty_processes_one_creates_the_file(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    race(race_for_the_prize, store, 20)
    (winner,) = store.names("won")
    assert store.read_bytes("prize").decode() == winner * 1000
    assert store.names() == ["go", "prize", "ready", "won"]


def test_create_exclusive_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as SMB and exFAT say it

    monkeypatch.setattr(os, "link", refuse)
    store = Store(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: store.create_exclusive("x", b"%d" % i), range(8)))
    assert won.count(True) == 1
    assert store.read_bytes("x") == b"%d" % won.index(True)
    assert store.names() == ["x"]


def test_create_exclusive_when_nfs_repeats_the_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def repeated(source: str, target: str) -> None:
        link(source, target)
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "link", repeated)
    assert Store(str(tmp_path)).create_exclusive("x", b"1")
