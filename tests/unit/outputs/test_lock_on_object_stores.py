"""Locks on object stores."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import claim
from cxr_spark.outputs.lock import Lock
from cxr_spark.runtime.processes import where
from cxr_spark.storage.object_store import RemoteFileSystem
from cxr_spark.storage.store import Store
from tests.support.locks import HOLD, leftovers, put_lock


class _Swallows(MemoryFileSystem):
    """As a library before 2024.12: the argument is taken and means nothing."""

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> None:
        self.store.pop(self._strip_protocol(path), None)
        super().pipe_file(path, value)


class _OfTheBaseClass(MemoryFileSystem):
    """As a library without an exclusive create of its own: fsspec's base class looks first, and writes then."""

    pipe_file = AbstractFileSystem.pipe_file


@pytest.mark.parametrize("kind", [_Swallows, _OfTheBaseClass])
def test_a_store_without_exclusive_create_is_refused(kind: type[MemoryFileSystem]) -> None:
    system = RemoteFileSystem(kind(skip_instance_cache=True))
    with pytest.raises(UsageError, match=r"cannot write a file only where there is none.*2024\.12"):
        system.create("/lock/_lock.json", b"mine")
    assert not system.exists("/lock/_lock.json")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URI of a bucket that moto serves. (s3fs keeps the address of its first server, so there is one for all.)"""
    server = pytest.importorskip("moto.server", reason="needs moto[server] and s3fs")
    pytest.importorskip("s3fs", reason="needs moto[server] and s3fs")
    import boto3

    threaded = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    threaded.start()
    host, port = threaded.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield "s3://bucket"
    threaded.stop()


@pytest.fixture
def object_store(request: pytest.FixtureRequest) -> Store:
    """An empty folder of an object store: fsspec's in memory, or S3."""
    root = "memory://locks" if request.param == "memory" else request.getfixturevalue("bucket")
    return Store(f"{root}/{secrets.token_hex(4)}")


BOTH = pytest.mark.parametrize("object_store", ["memory", "s3"], indirect=True)


@BOTH
def test_one_of_many_creates_an_object(object_store: Store) -> None:
    for attempt in range(5):
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda i: object_store.create_exclusive(f"x{attempt}", bytes([i])), range(8)))  # noqa: B023
        assert made.count(True) == 1
        assert object_store.read_bytes(f"x{attempt}") == bytes([made.index(True)])


@BOTH
def test_an_object_store_is_locked_and_taken_over(object_store: Store) -> None:
    lock = Lock(object_store, "train")
    with pytest.raises(UsageError, match="in use by 'train'"):
        Lock(object_store, "score")
    lock.check()
    lock.release()
    put_lock(object_store, where=where(), uid=os.getuid(), pid=2**22 + 1)  # of a process that is gone
    Lock(object_store, "train").release()
    assert not object_store.exists() or leftovers(object_store) == []


@BOTH
def test_foreign_objects_stay(object_store: Store) -> None:
    for value in (1, 2):
        with claim(object_store, "evaluate", {"value": value}, value == 2) as claimed:
            object_store.write_bytes("metrics.json", b"{}")
            object_store.write_bytes("notes/mine.txt", b"mine")
            claimed.done({})
    with claim(object_store, "evaluate", {}, True):
        assert [name for name in leftovers(object_store) if not name.startswith("_")] == ["notes/mine.txt"]


@pytest.mark.parametrize("object_store", ["s3"], indirect=True)
def test_two_runs_on_s3_never_both_win(object_store: Store) -> None:
    command = [sys.executable, "-c", HOLD, object_store.uri]
    held = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    try:
        deadline = time.monotonic() + 60
        while sum(process.poll() is None for process in held) > 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert sum(process.poll() is None for process in held) == 1
    finally:
        for process in held:
            process.kill()
            process.communicate()
