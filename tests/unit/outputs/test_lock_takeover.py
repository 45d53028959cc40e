"""Locks of runs that died, and of those that cannot be seen: which are taken over."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxr_spark.errors import UsageError
from cxr_spark.outputs.lock import Lock, Witness
from cxr_spark.runtime.processes import started, where
from cxr_spark.storage.store import Store
from tests.support.locks import FakeClock, hold, leftovers, put_lock
from tests.support.racing import race, ready
from tests.support.stores import folder_of


def beat(store: Store, text: str) -> None:
    store.write_bytes(f"_lock.{'0123456789abcdef' * 2}.heartbeat", text.encode())


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


def contend(uri: str, gate: str, number: int) -> None:
    """Waits at the gate, works under the lock if it can have it, and writes down how it went."""
    store, outcomes = Store(uri), Store(gate)
    ready(outcomes, number)
    try:
        lock = Lock(store, "train")
    except UsageError:
        outcomes.write_bytes(f"refused/{number}", b"")
        return
    os.close(os.open(folder_of(store) / "working", os.O_CREAT | os.O_EXCL))  # fails if another one works
    time.sleep(0.3)
    lock.check()
    store.delete("working")
    lock.release()
    outcomes.write_bytes(f"worked/{number}", b"")


def test_a_dead_lock_goes_to_one_of_many(store: Store, tmp_path: Path) -> None:
    for attempt in range(3):
        dead = hold(store)
        dead.kill()
        dead.communicate()
        gate = Store(str(tmp_path / f"race{attempt}"))
        race(contend, gate, 12, store.uri)
        worked = len(gate.names("worked"))
        refused = len(gate.names("refused")) if gate.exists("refused") else 0
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


def test_started_tells_processes_apart() -> None:
    assert started(os.getpid()) == started(os.getpid())
    assert started(2**22 + 1) is None
    with subprocess.Popen(["sleep", "60"]) as process:
        later = started(process.pid)
        assert later is not None
        assert later > (started(os.getpid()) or 0)
        process.kill()
