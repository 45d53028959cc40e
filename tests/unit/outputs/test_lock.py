"""The lock of an output folder: who holds it, and who may not."""

from __future__ import annotations

import json
import os
import time

import pytest

from cxr_spark.errors import RunError, UsageError
from cxr_spark.outputs import lock as lock_module
from cxr_spark.outputs.lock import LOCK_NAME, Lock, Witness, read_holder
from cxr_spark.storage.store import Store
from tests.support.locks import FakeClock, hold, leftovers, put_lock


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
