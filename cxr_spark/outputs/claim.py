"""What makes a job safe to run again: a locked output folder, and a mark on finished work.

`_done.json` is written last, after the job's own manifest. It holds a fingerprint of settings and inputs, so the same
command run again recognises its work and leaves it alone, and other settings do not silently pass for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cxr_spark import __version__
from cxr_spark.errors import DataError, RunError, UsageError
from cxr_spark.outputs.done import read_done
from cxr_spark.outputs.lock import Lock, Witness, read_holder
from cxr_spark.outputs.mark import CLEARING, DONE_NAME, Mark, note, write_mark
from cxr_spark.outputs.own_files import Contents, told
from cxr_spark.outputs.ownership import STATUS_NAME, check_ownership, clear, finish, take_up
from cxr_spark.storage.json_values import as_json
from cxr_spark.storage.store import Store

__all__ = [
    "DONE_NAME",
    "STATUS_NAME",
    "Claim",
    "claim",
    "difference",
    "digest",
    "finished_before",
    "flat",
    "write_status",
]

log = logging.getLogger(__name__)

#: A function from the fingerprint of finished work to whether a job goes on from it.
Extends = Callable[[Mapping[str, Any]], bool]


def is_other_work(inputs: Mapping[str, Any]) -> bool:
    """Says of finished work of another fingerprint that it cannot be gone on from, which is so for most jobs."""
    return False


class Claim:
    """An output folder that this run holds.

    Attributes:
        store: the folder.
        lock: the lock that keeps other runs out.
        foreign: names of what the job did not write, and must not replace.
        finished: the summary of the same work, finished before, or None where there is work to do.
    """

    def __init__(self, store: Store, job: str, fingerprint: Mapping[str, Any], lock: Lock) -> None:
        self.store = store
        self.lock = lock
        self.finished: dict[str, Any] | None = None
        self.foreign: frozenset[str] = frozenset()
        self._job = job
        self._fingerprint = as_json(fingerprint)

    def clear(self) -> None:
        """Deletes the files that an earlier run of this job wrote, for a job that cannot go on from them."""
        self._leave(clear(self.store, self._job))

    def take_up(self) -> None:
        """Marks the folder as being worked in. `claim` does so itself unless it finds finished work."""
        self._leave(take_up(self.store, self._job, check_ownership(self.store, self._job)))

    def _leave(self, found: Contents) -> None:
        """Remembers what the job did not write, and names it in a warning, once in a run."""
        names = frozenset([*found.foreign, *found.links])
        if not names <= self.foreign:
            log.warning(
                "%s holds %d files that `cxr-spark %s` did not write, and they stay: %s",
                self.store.uri, len(names), self._job, told(names),
            )  # fmt: skip
        self.foreign = names

    def note(self, names: Collection[str]) -> None:
        """Notes names of files that come from the job's data, before such a file is written.

        Raises:
            UsageError: there is a file of such a name that this job did not write.
        """
        taken = self.foreign.intersection(names)
        if taken:
            raise UsageError(
                f"--out {self.store.uri} holds {told(taken)}, which `cxr-spark {self._job}` did not write and would "
                "have to replace: move it away, or choose another --out"
            )
        note(self.store, names)

    def done(self, summary: Mapping[str, Any]) -> None:
        """Marks the work as finished. Everything else must be written before.

        Raises:
            RunError: another run took the folder over meanwhile.
        """
        self.lock.check()
        finish(self.store, self._job)
        self.store.write_json(
            DONE_NAME,
            {
                "job": self._job,
                "fingerprint": digest(self._fingerprint),
                "inputs": self._fingerprint,
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "version": __version__,
                "summary": as_json(summary),
            },
        )


@contextmanager
def claim(
    store: Store, job: str, fingerprint: Mapping[str, Any], overwrite: bool, extends: Extends = is_other_work
) -> Iterator[Claim]:
    """Locks an output folder for a job, and finds out whether its work is there already.

    Args:
        store: the output folder; made if it is not there.
        job: name of the job.
        fingerprint: all that decides the result, as JSON values.
        overwrite: delete the files that another run of this job wrote there.
        extends: whether the job goes on from finished work of other settings, whose fingerprint it is given.

    Yields:
        A claim; where its `finished` is set there is nothing to do.

    Raises:
        UsageError: a live run holds the folder; it holds what this job did not write; or finished work of other
            settings is there and overwrite is false.
    """
    check_ownership(store, job)  # before even a lock is written there
    lock = Lock(store, job)
    try:
        held = Claim(store, job, fingerprint, lock)
        found = check_ownership(store, job)
        if overwrite or (found is not None and found.state == CLEARING):
            held.clear()
        else:
            held.finished = _finished(store, job, fingerprint, extends)
            if held.finished is None:
                held.take_up()
        yield held
    finally:
        lock.release()


def finished_before(store: Store, job: str, fingerprint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the summary of the very same work, finished before, or None. Nothing is locked or written.

    For jobs to say so before they start Spark; what else is in the folder is for `claim` to judge.
    """
    try:
        return _finished(store, job, fingerprint)
    except UsageError:
        return None


def write_status(store: Store, job: str, status: Mapping[str, Any]) -> bool:
    """Leaves how a run ended in its output folder, unless the folder is not its own or another run is at work there.

    Returns:
        Whether it was written.
    """
    try:
        found = check_ownership(store, job)
        holder = read_holder(store)
    except UsageError:
        return False
    if holder is not None and Witness().is_alive(holder) is not False:
        return False
    if found is None:
        write_mark(store, Mark(job))
    store.write_json(STATUS_NAME, as_json(status))
    return True


def digest(value: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(as_json(value), sort_keys=True).encode()).hexdigest()


def _finished(
    store: Store, job: str, fingerprint: Mapping[str, Any], extends: Extends = is_other_work
) -> dict[str, Any] | None:
    """Returns the summary of finished work; None where there is none, or the job goes on from it.

    Raises:
        UsageError: it is of other settings.
    """
    try:
        found = read_done(store)
    except FileNotFoundError:
        return None
    except RunError as error:
        log.warning("%s: the work is done again", error)
        return None
    except DataError as error:
        raise UsageError(
            f"--out {store.uri} holds finished output, perhaps of other settings ({error}): choose another, or say "
            "--overwrite"
        ) from None
    if found.job != job:
        return None
    if found.fingerprint != digest(fingerprint):
        if extends(found.inputs):
            log.info("going on from the finished work in %s (%s)", store.uri, difference(found.inputs, fingerprint))
            return None
        raise UsageError(
            f"--out {store.uri} holds finished output of other settings or inputs "
            f"({difference(found.inputs, fingerprint)}): choose another, or say --overwrite"
        )
    return found.summary


def difference(inputs: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> str:
    """Says for a message which of the settings and inputs of former work are other ones now."""
    before = flat(inputs)
    now = flat(as_json(fingerprint))
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if not names:
        return "nothing visible"
    told = ", ".join(f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}" for name in names[:3])
    return told + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Returns the values of a tree by their dotted names; a list is one value, and so is an empty group."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, dict) and value else {above + name: value}
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
