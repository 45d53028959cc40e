"""The lock of an output folder: killed holders, living ones, other machines, races for what a dead run left."""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from cxr_spark.errors import RunError, UsageError
from cxr_spark.outputs import lock as lock_module
from cxr_spark.outputs.claim import claim
from cxr_spark.outputs.lock import LOCK_NAME, Lock, Witness, read_holder
from cxr_spark.runtime.processes import started, where
from cxr_spark.storage.object_store import RemoteFileSystem
from cxr_spark.storage.store import Store
from tests.support.stores import folder_of

HOLD = """
import sys, time
from cxr_spark.outputs.lock import Lock
from cxr_spark.storage.store import Store
lock = Lock(Store(sys.argv[1]), "train")
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "out"))


def hold(store: Store) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, store.uri], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def put_lock(store: Store, **changes: Any) -> dict[str, Any]:
    """Leaves the lock of another machine, with changes."""
    holder = {
        "token": "0123456789abcdef" * 2,
        "host": "node7",
        "where": "node7 other-boot pid:[1]",
        "pid": 1,
        "started": 1.0,
        "application": "train",
        "taken": "2024-01-01T00:00:00Z",
        **changes,
    }
    store.write_json(LOCK_NAME, holder)
    return holder


def beat(store: Store, text: str) -> None:
    store.write_bytes(f"_lock.{'0123456789abcdef' * 2}.heartbeat", text.encode())


def leftovers(store: Store) -> list[str]:
    return [info.name for info in store.files()]


def test_release_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_EVERY", 0.02)
    lock = Lock(store, "train")
    holder = read_holder(store)
    assert holder is not None
    assert (holder["pid"], holder["application"]) == (os.getpid(), "train")
    time.sleep(0.2)
    renewed = read_holder(store)
    assert renewed is not None
    assert renewed["heartbeat"] != holder["heartbeat"]
    lock.check()
    lock.release()
    assert leftovers(store) == []
    Lock(store, "train").release()


def test_a_live_run_refuses_another_by_name(store: Store) -> None:
    process = hold(store)
    try:
        with pytest.raises(UsageError) as caught:
            Lock(store, "train")
        message = str(caught.value)
        assert store.uri in message
        assert f"process {process.pid}" in message
        assert "'train'" in message
        assert "--out" in message
    finally:
        process.kill()
        process.communicate()


def test_the_same_process_is_refused_too(store: Store) -> None:
    lock = Lock(store, "train")
    with pytest.raises(UsageError, match=f"process {os.getpid()}"):
        Lock(store, "score")
    lock.release()


@pytest.mark.parametrize("reaped", [True, False])
def test_the_lock_of_a_killed_run_is_taken_over_at_once(store: Store, reaped: bool) -> None:
    process = hold(store)
    process.send_signal(signal.SIGKILL)
    if reaped:
        process.wait()
    else:  # a zombie, as under a container's first process that never reaps
        while started(process.pid) is not None:
            time.sleep(0.01)
    begun = time.monotonic()
    lock = Lock(store, "train")
    assert time.monotonic() - begun < 1
    lock.check()
    lock.release()
    assert leftovers(store) == []
    process.wait()


def test_a_process_that_has_the_number_of_a_dead_one_is_not_taken_for_it(store: Store) -> None:
    put_lock(store, where=where(), pid=os.getpid(), started=(started(os.getpid()) or 0) - 1)
    Lock(store, "train").release()


def test_a_lock_of_another_machine_that_beats_is_alive(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_lock(store)
    beat(store, "a")
    clock = FakeClock(monkeypatch)
    clock.each_look = lambda looks: beat(store, "b" if looks > 5 else "a")
    with pytest.raises(UsageError, match="process 1 on node7"):
        Lock(store, "train")
    assert 5 <= clock.now < 10  # known as soon as the heartbeat moved


def test_a_lock_of_another_machine_without_a_heartbeat_dies_after_a_minute(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_lock(store)
    beat(store, "a")
    clock = FakeClock(monkeypatch)
    lock = Lock(store, "train")
    assert 60 <= clock.now < 63
    lock.check()
    lock.release()
    assert leftovers(store) == []


def test_clocks_of_two_machines_are_not_compared(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_lock(store, taken="1999-01-01T00:00:00Z")
    beat(store, "1.0")  # by its own clock the holder lives in 1970
    clock = FakeClock(monkeypatch)
    clock.each_look = lambda looks: beat(store, f"{1 + looks // 10}.0")
    with pytest.raises(UsageError, match="in use"):
        Lock(store, "train")


class FakeClock:
    """Time that passes only while the lock waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.looks = 0
        self.each_look = lambda looks: None
        monkeypatch.setattr(lock_module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(lock_module.time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += 1
        self.looks += 1
        self.each_look(self.looks)


def test_a_process_of_another_user_that_cannot_be_seen_is_not_taken_for_dead(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_lock(store, where=where(), pid=2**22 + 1, uid=os.getuid() + 1)  # /proc is mounted with hidepid
    clock = FakeClock(monkeypatch)
    clock.each_look = lambda looks: beat(store, str(looks))
    with pytest.raises(UsageError, match="in use"):
        Lock(store, "train")


def test_a_container_of_the_same_host_name_is_another_machine(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its process 1 is not the process 1 that is seen here.
    put_lock(store, host=where().split()[0], where=f"{where().split()[0]} other-boot pid:[1]", pid=2**22 + 1)
    clock = FakeClock(monkeypatch)
    clock.each_look = lambda looks: beat(store, str(looks))
    with pytest.raises(UsageError, match="in use"):
        Lock(store, "train")


def test_a_lock_that_was_taken_over_can_neither_commit_nor_release(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_EVERY", 0.02)
    old = Lock(store, "train")
    put_lock(store, application="other")
    with pytest.raises(RunError, match=r"took .* over"):
        old.check()
    time.sleep(0.2)  # its heartbeat finds out too, and writes nothing over the new lock
    old.release()
    holder = read_holder(store)
    assert holder is not None
    assert holder["application"] == "other"
    store.delete(LOCK_NAME)
    with pytest.raises(RunError, match=r"took .* over"):  # gone again: still not ours
        old.check()
    assert leftovers(store) == []


def contend(uri: str, gate: str, number: int) -> None:
    """Waits at the gate, works under the lock if it can have it, and writes down how it went."""
    store, race = Store(uri), Store(gate)
    race.write_bytes(f"ready/{number}", b"")
    while not race.exists("go"):
        time.sleep(0.001)
    try:
        lock = Lock(store, "train")
    except UsageError:
        race.write_bytes(f"refused/{number}", b"")
        return
    os.close(os.open(folder_of(store) / "working", os.O_CREAT | os.O_EXCL))  # fails if another one works
    time.sleep(0.3)
    lock.check()
    store.delete("working")
    lock.release()
    race.write_bytes(f"worked/{number}", b"")


def test_a_dead_lock_goes_to_one_of_many(store: Store, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cxr_spark.outputs.lock"])
    for attempt in range(3):
        dead = hold(store)
        dead.kill()
        dead.communicate()
        race = Store(str(tmp_path / f"race{attempt}"))
        racers = [context.Process(target=contend, args=(store.uri, race.uri, i)) for i in range(12)]
        for racer in racers:
            racer.start()
        while not race.exists("ready") or len(race.names("ready")) < 12:
            time.sleep(0.01)
        race.write_bytes("go", b"")
        for racer in racers:
            racer.join()
        assert [racer.exitcode for racer in racers] == [0] * 12
        worked = len(race.names("worked"))
        refused = len(race.names("refused")) if race.exists("refused") else 0
        assert worked >= 1
        assert worked + refused == 12
        assert leftovers(store) == []


def test_a_slow_contender_does_not_remove_the_lock_of_a_fast_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_lock(store, where=where(), uid=os.getuid(), pid=2**22 + 1)
    fast: list[Lock] = []
    judge = Witness.is_alive

    def slow(witness: Witness, holder: dict[str, Any]) -> bool | None:
        alive = judge(witness, holder)
        if alive is False and not once.done:
            once.done = True  # the slow one knows that the lock is dead; now the fast one comes and takes it
            fast.append(Lock(store, "fast"))
        return alive

    once = SimpleNamespace(done=False)
    monkeypatch.setattr(Witness, "is_alive", slow)
    with pytest.raises(UsageError, match="in use by 'fast'"):
        Lock(store, "slow")
    fast[0].check()
    fast[0].release()
    assert leftovers(store) == []


def test_a_run_that_died_while_it_took_over(store: Store) -> None:
    dead = hold(store)
    dead.kill()
    dead.communicate()
    holder = json.loads(store.read_bytes(LOCK_NAME))
    # The second one had just won the right to remove the first one's lock when it was killed.
    store.write_json(f"_lock.{holder['token']}.removal", {**holder, "token": "f" * 32})
    Lock(store, "train").release()
    assert leftovers(store) == []


def test_a_holder_lives_through_a_store_that_fails(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_EVERY", 0.01)
    lock = Lock(store, "train")
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise RunError("cannot write: No space left on device")

        patch.setattr(store, "write_bytes", full)
        time.sleep(0.2)
    lock.check()
    lock.release()
    assert leftovers(store) == []
    warnings = [record for record in caplog.records if "cannot be renewed" in record.message]
    assert len(warnings) == 1  # told once, not every ten seconds


@pytest.mark.parametrize("content", [b"", b"[]", b'{"token": "../../x"}', b'{"token": 1}', b"\0" * 100])
def test_a_damaged_lock_is_told(store: Store, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(lock_module, "LOOK_EVERY", 0.01)
    store.write_bytes(LOCK_NAME, content)
    with pytest.raises(RunError, match=r"_lock\.json"):
        Lock(store, "train")


def test_a_lock_that_is_just_being_written_is_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write_bytes(LOCK_NAME, b"")
    clock = FakeClock(monkeypatch)
    clock.each_look = lambda looks: store.delete(LOCK_NAME)
    Lock(store, "train").release()


def test_a_witness_never_calls_a_beating_holder_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(lock_module.time, "monotonic", lambda: now)
    witness = Witness()
    holder = {"token": "t", "where": "elsewhere", "heartbeat": "0"}
    for i in range(100):
        now += 30
        holder["heartbeat"] = str(i)
        assert witness.is_alive(holder) is not False
    now += 61
    assert witness.is_alive(holder) is False


def test_started_tells_processes_apart() -> None:
    assert started(os.getpid()) == started(os.getpid())
    assert started(2**22 + 1) is None
    with subprocess.Popen(["sleep", "60"]) as process:
        later = started(process.pid)
        assert later is not None
        assert later > (started(os.getpid()) or 0)
        process.kill()


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
