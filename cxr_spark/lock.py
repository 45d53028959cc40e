"""A lock file on an output folder, which outlives neither its process nor, for long, its host.

The lock is created exclusively and names host, process, application and a heartbeat that its holder renews. It is dead
at once if that process is gone on the same host, else after `STALE_AFTER` seconds without a heartbeat.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from typing import Any

import psutil

from cxr_spark.errors import RunError, UsageError
from cxr_spark.storage import Store

log = logging.getLogger(__name__)

LOCK_NAME = "_lock.json"
#: Seconds between heartbeats, and without one after which the holder is taken for dead.
HEARTBEAT_EVERY = 10.0
STALE_AFTER = 60.0


class Lock:
    """Holds the lock of a store until `release`.

    Args:
        store: the output folder.
        application: what to call the holder in messages, such as `train`.

    Raises:
        UsageError: a live run holds it.
    """

    def __init__(self, store: Store, application: str) -> None:
        self._store = store
        self.token = secrets.token_hex(16)
        self._holder = {
            "token": self.token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
            "application": application,
            "taken": time.time(),
        }
        self._take()
        self.lost = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True)
        self._thread.start()

    def _content(self) -> bytes:
        return json.dumps({**self._holder, "heartbeat": time.time()}).encode()

    def _take(self) -> None:
        for _ in range(5):
            if self._store.create_exclusive(LOCK_NAME, self._content()):
                return
            holder = read_holder(self._store)
            if holder is None:
                continue
            if holder_is_alive(holder):
                age = time.time() - float(holder.get("heartbeat", 0))
                raise UsageError(
                    f"{self._store.uri} is in use by {holder.get('application')} (process {holder.get('pid')} on "
                    f"{holder.get('host')}, heartbeat {age:.0f} s ago): wait for it, or choose another --out"
                )
            log.warning("taking over the lock of a dead run: process %s on %s", holder.get("pid"), holder.get("host"))
            again = read_holder(self._store)
            if again is not None and again.get("token") == holder.get("token"):
                self._store.delete(LOCK_NAME)
        raise RunError(f"cannot get the lock {self._store.uri_of(LOCK_NAME)}: other runs keep taking it; try again")

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_EVERY):
            try:
                holder = read_holder(self._store)
                if holder is None or holder.get("token") != self.token:
                    log.error("the lock of %s was taken by another run", self._store.uri)
                    self.lost.set()
                    return
                self._store.write_bytes(LOCK_NAME, self._content())
            except RunError as error:  # a store that fails for a moment; the next heartbeat may do
                log.warning("no heartbeat: %s", error)

    def check(self) -> None:
        """Makes sure that the lock is still held, before a commit.

        Raises:
            RunError: another run has it.
        """
        holder = read_holder(self._store)
        if self.lost.is_set() or holder is None or holder.get("token") != self.token:
            raise RunError(f"another run took {self._store.uri} over: this one writes nothing more")

    def release(self) -> None:
        """Stops the heartbeat and deletes the lock, if it is still ours."""
        self._stop.set()
        self._thread.join()
        holder = read_holder(self._store)
        if holder is not None and holder.get("token") == self.token:
            self._store.delete(LOCK_NAME)


def read_holder(store: Store) -> dict[str, Any] | None:
    """Returns what the lock file says, or None where there is none."""
    try:
        holder = store.read_json(LOCK_NAME)
    except FileNotFoundError:
        return None
    if not isinstance(holder, dict):
        raise RunError(f"{store.uri_of(LOCK_NAME)} is not a lock file: delete it if no run uses {store.uri}")
    return holder


def holder_is_alive(holder: dict[str, Any]) -> bool:
    if holder.get("host") == socket.gethostname():
        try:
            started = psutil.Process(int(holder["pid"])).create_time()
        except (psutil.NoSuchProcess, KeyError, ValueError):
            return False
        except psutil.AccessDenied:
            return True
        # Another process may have the number by now.
        return bool(abs(started - float(holder.get("started", started))) < 2)
    return time.time() - float(holder.get("heartbeat", 0)) < STALE_AFTER
