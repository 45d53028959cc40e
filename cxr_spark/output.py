"""What makes a job safe to run again: a locked output folder, and a mark on finished work.

`_done.json` is written last, after the job's own manifest. It holds a fingerprint of settings and inputs, so the same
command run again recognises its work and leaves it alone, and other settings do not silently pass for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cxr_spark import __version__
from cxr_spark.errors import UsageError
from cxr_spark.lock import LOCK_NAME, Lock
from cxr_spark.storage import Store

log = logging.getLogger(__name__)

DONE_NAME = "_done.json"
STATUS_NAME = "_status.json"


class Claim:
    """An output folder that this run holds.

    Attributes:
        finished: the summary of the same work, finished before, or None where there is work to do.
    """

    def __init__(self, store: Store, job: str, fingerprint: Mapping[str, Any], lock: Lock) -> None:
        self.store = store
        self.finished: dict[str, Any] | None = None
        self.lock = lock
        self._job = job
        self._fingerprint = dict(fingerprint)

    def done(self, summary: Mapping[str, Any]) -> None:
        """Marks the work as finished. Everything else must be written before.

        Raises:
            RunError: another run took the folder over meanwhile.
        """
        self.lock.check()
        self.store.write_json(
            DONE_NAME,
            {
                "job": self._job,
                "fingerprint": digest(self._fingerprint),
                "inputs": self._fingerprint,
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "version": __version__,
                "summary": dict(summary),
            },
        )


@contextmanager
def claim(store: Store, job: str, fingerprint: Mapping[str, Any], overwrite: bool) -> Iterator[Claim]:
    """Locks an output folder for a job, and finds out whether its work is there already.

    Args:
        store: the output folder; made if it is not there.
        job: name of the job.
        fingerprint: all that decides the result, as JSON values.
        overwrite: delete what another run left there.

    Yields:
        A claim; where its `finished` is set there is nothing to do.

    Raises:
        UsageError: a live run holds the folder, or finished work of other settings is there and overwrite is false.
    """
    lock = Lock(store, job)
    try:
        held = Claim(store, job, fingerprint, lock)
        found = _finished(store)
        if overwrite:
            _clear(store)
        elif found is not None:
            if found.get("job") != job:
                raise UsageError(
                    f"{store.uri} holds the output of {found.get('job')!r}, not of {job!r}: choose another --out"
                )
            if found.get("fingerprint") != digest(fingerprint):
                raise UsageError(
                    f"{store.uri} holds finished output of other settings or inputs "
                    f"({_difference(found, fingerprint)}): choose another --out, or say --overwrite"
                )
            held.finished = dict(found.get("summary", {}))
            log.info("%s: finished before, nothing to do: %s", job, store.uri)
        yield held
    finally:
        lock.release()


def digest(value: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _finished(store: Store) -> dict[str, Any] | None:
    try:
        found = store.read_json(DONE_NAME)
    except FileNotFoundError:
        return None
    return found if isinstance(found, dict) else None


def _clear(store: Store) -> None:
    """Deletes all in a folder but the lock; the mark of finished work goes first: no half is taken for whole."""
    store.delete(DONE_NAME)
    for info in list(store.files()):
        if info.name != LOCK_NAME:
            store.delete(info.name)


def _difference(found: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> str:
    before = found.get("inputs", {})
    now = json.loads(json.dumps(fingerprint, default=str))
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if not names:
        return "nothing visible"
    name = names[0]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}{more}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
