"""Locks that other runs hold."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from cxr_spark.outputs import lock as lock_module
from cxr_spark.outputs.lock import LOCK_NAME
from cxr_spark.storage.store import Store

HOLD = """
import sys, time
from cxr_spark.outputs.lock import Lock
from cxr_spark.storage.store import Store
lock = Lock(Store(sys.argv[1]), "train")
print("held", flush=True)
time.sleep(600)
"""


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


def leftovers(store: Store) -> list[str]:
    return [info.name for info in store.files()]


class FakeClock:
    """Time that passes only while the lock waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.looks = 0
        self.each_look = lambda looks: None
        # The module of the lock alone gets it: other threads of this process go on by the real one.
        kept = {name: getattr(time, name) for name in ("time", "strftime", "gmtime")}
        monkeypatch.setattr(lock_module, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep, **kept))

    def _sleep(self, seconds: float) -> None:
        self.now += 1
        self.looks += 1
        self.each_look(self.looks)
