"""The lock file of an output folder. It outlives its process only until the next run looks, and its host by a minute.

The lock is created exclusively, names host, process and application, and never changes. Its holder renews a heartbeat
in a file beside it, so a holder that was away for long cannot write over the lock of its successor. A lock is dead at
once if its process is gone on the same machine. Otherwise it is dead when its heartbeat has stood still for
`STALE_AFTER` seconds by the clock of the run that waits: the clocks of two machines are never compared.

Several runs may find the same lock dead, and only one of them may delete it: a slower one would delete the lock that a
faster one has created meanwhile. So the right to delete the lock with token T is a lock itself, named for T:

    _lock.json                        held by T, which is dead
      _lock.T.removal                 held by U: only U may delete _lock.json, and only while it still names T
        _lock.T.removal.UUUUUUUU      held by V, where U died too: only V may delete _lock.T.removal
          ...                         as deep as runs have died one after the other while they took over

Each name holds the token of the dead run that it is for, and no token is used twice, so a file that is left behind can
never keep a later run out.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import socket
import threading
import time
from typing import Any

from cxr_spark.errors import RunError, UsageError
from cxr_spark.runtime.processes import started, where
from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)

LOCK_NAME = "_lock.json"
#: Every file that a lock leaves begins so.
LOCK_PREFIX = "_lock."
#: Seconds between heartbeats; seconds without one after which the holder is taken for dead.
HEARTBEAT_EVERY = 10.0
STALE_AFTER = 60.0
#: Seconds between two looks at a lock whose holder may be dead.
LOOK_EVERY = 1.0
#: A lock file that cannot be read so often in a row is damaged, not just being written.
_UNREADABLE_LOOKS = 5
_TOKEN = re.compile("[0-9a-f]{32}")


class Lock:
    """Holds the lock of a store until `release`.

    Args:
        store: the output folder; made if it is not there.
        application: the name of the holder in messages, such as `train`.

    Raises:
        UsageError: a live run holds it.
    """

    def __init__(self, store: Store, application: str) -> None:
        self._store = store
        holder = _holder(application)
        self.token: str = holder["token"]
        _acquire(store, LOCK_NAME, holder)
        self._lost = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        failing = False
        while not self._stop.wait(HEARTBEAT_EVERY):
            try:
                if not self._is_ours():
                    log.error("the lock of %s was taken by another run", self._store.uri)
                    self._lost.set()
                    return
                self._store.write_bytes(_heartbeat_name(self.token), repr(time.time()).encode())
                failing = False
            except RunError as error:  # a full disk, a NameNode that restarts: the work itself may go on
                if not failing:
                    log.warning("the lock cannot be renewed: %s", error)
                failing = True

    def _is_ours(self) -> bool:
        holder = read_holder(self._store)
        return holder is not None and holder.get("token") == self.token

    def check(self) -> None:
        """Makes sure that the lock is still held, before a commit.

        Raises:
            RunError: another run has it.
        """
        if self._lost.is_set() or not self._is_ours():
            raise RunError(f"another run took {self._store.uri} over: this one writes nothing more")

    def release(self) -> None:
        """Stops the heartbeat and deletes the lock, if it is still ours. A store that fails leaves it to go stale."""
        self._stop.set()
        self._thread.join(timeout=HEARTBEAT_EVERY)  # longer only if the store hangs
        try:
            self._store.delete(_heartbeat_name(self.token))
            if self._is_ours():
                self._store.delete(LOCK_NAME)
        except RunError as error:
            log.warning("the lock cannot be removed: %s", error)


class Witness:
    """Judges whether the holder of a lock lives, from what can be seen of it."""

    def __init__(self) -> None:
        self._seen: tuple[object, object] | None = None
        self._since = 0.0

    def is_alive(self, holder: dict[str, Any]) -> bool | None:
        """Returns whether the holder lives; None if only its next heartbeat can tell.

        Args:
            holder: the holder as `read_holder` has just returned it.
        """
        pid = holder.get("pid")
        if holder.get("where") == where() and isinstance(pid, int):
            began = started(pid)
            if began is not None or holder.get("uid") == os.getuid():
                return began == holder.get("started")
            # Of another user, whose processes a /proc mounted with hidepid does not show.
        sign = (holder.get("token"), holder.get("heartbeat"))
        now = time.monotonic()
        if self._seen is not None and self._seen[0] == sign[0]:
            if self._seen[1] != sign[1]:
                self._seen, self._since = sign, now
                return True
            return False if now - self._since > STALE_AFTER else None
        self._seen, self._since = sign, now
        return None


def read_holder(store: Store, name: str = LOCK_NAME) -> dict[str, Any] | None:
    """Returns what the lock file says and the last `heartbeat`, or None where there is no lock.

    Raises:
        RunError: it cannot be read.
    """
    try:
        holder = store.read_json(name)
    except FileNotFoundError:
        return None
    if not isinstance(holder, dict) or not _TOKEN.fullmatch(str(holder.get("token"))):
        raise RunError(f"{store.uri_of(name)} is not a lock file: delete it if no run uses {store.uri}")
    try:
        holder["heartbeat"] = store.read_bytes(_heartbeat_name(holder["token"])).decode("ascii", "replace")
    except FileNotFoundError:
        holder["heartbeat"] = None
    return holder


def _holder(application: str) -> dict[str, Any]:
    return {
        "token": secrets.token_hex(16),
        "host": socket.gethostname(),
        "where": where(),
        "pid": os.getpid(),
        "uid": os.getuid(),
        "started": started(os.getpid()),
        "application": application,
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _heartbeat_name(token: str) -> str:
    return f"{LOCK_PREFIX}{token}.heartbeat"


def _acquire(store: Store, name: str, holder: dict[str, Any]) -> None:
    """Creates the lock file, and takes it from a holder that is dead.

    Raises:
        UsageError: its holder lives.
    """
    witness = Witness()
    content = json.dumps(holder).encode()
    unreadable, waiting = 0, False
    while not store.create_exclusive(name, content):
        try:
            found = read_holder(store, name)
            unreadable = 0
        except RunError:
            unreadable += 1
            if unreadable == _UNREADABLE_LOOKS:
                raise
            time.sleep(LOOK_EVERY)
            continue
        if found is None:
            continue
        if found["token"] == holder["token"]:  # created, though the answer was lost
            return
        alive = witness.is_alive(found)
        if alive:
            raise UsageError(
                f"{store.uri} is in use by {found.get('application')!r} (process {found.get('pid')} on "
                f"{found.get('host')}, since {found.get('taken')}): wait for it, or choose another --out"
            )
        if alive is None:
            if not waiting:
                log.warning(
                    "%s was locked by process %s on %s: waiting up to %.0f s for a sign of life",
                    store.uri, found.get("pid"), found.get("host"), STALE_AFTER,
                )  # fmt: skip
            waiting = True
            time.sleep(LOOK_EVERY)
            continue
        log.warning("taking over from a run that died: process %s on %s", found.get("pid"), found.get("host"))
        _remove_dead(store, name, found["token"], holder)


def _remove_dead(store: Store, name: str, token: str, holder: dict[str, Any]) -> None:
    """Removes the lock of a dead run, and no other one. See the drawing at the top of this module.

    Args:
        store: the output folder.
        name: the name of the lock file.
        token: the token of the dead run.
        holder: this run, which takes the right to delete the lock.
    """
    right = f"{LOCK_PREFIX}{token}.removal" if name == LOCK_NAME else f"{name}.{token[:8]}"
    try:
        _acquire(store, right, holder)
    except UsageError:  # another run is at it
        time.sleep(LOOK_EVERY / 10)
        return
    try:
        found = read_holder(store, name)
        if found is not None and found["token"] == token:
            store.delete(_heartbeat_name(token))
            store.delete(name)
    finally:
        store.delete(right)
