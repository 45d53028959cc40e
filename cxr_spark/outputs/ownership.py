"""Whose an output folder is: a job writes only where there was nothing, or what it wrote itself.

`--overwrite` deletes all in a folder. So that it never deletes what is not a job's own (`--out /home/me`), a job marks
a folder that it finds new or empty, and a folder with other content and without the mark is refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from cxr_spark.errors import RunError, UsageError
from cxr_spark.outputs.lock import LOCK_PREFIX
from cxr_spark.storage.file_system import TEMPORARY_PREFIX
from cxr_spark.storage.store import Store
from cxr_spark.storage.uris import contains

MARK_NAME = "_cxr_spark.json"
DONE_NAME = "_done.json"
STATUS_NAME = "_status.json"

_CLEARING = "clearing"


def check_ownership(store: Store, job: str) -> dict[str, Any] | None:
    """Makes sure that a job may write to a folder. Nothing is written.

    Returns:
        The folder's mark; None where it is new, or holds nothing that would be lost.

    Raises:
        UsageError: it is a file, or holds what this job did not write.
    """
    try:
        names = store.names()
    except FileNotFoundError:
        return None
    except RunError as error:
        if isinstance(error.__cause__, NotADirectoryError):
            raise UsageError(f"--out {store.uri} is a file: choose a new or empty folder") from None
        raise
    content = [name for name in names if not is_bookkeeping(name)]
    mark = _read(store, MARK_NAME) or _read(store, DONE_NAME)
    if not content:
        return mark if mark is not None and mark.get("job") == job else None
    if mark is None:
        raise UsageError(
            f"--out {store.uri} holds {content[0]!r}, which cxr_spark did not write: choose a new or empty folder"
        )
    if mark.get("job") != job:
        raise UsageError(f"--out {store.uri} holds the output of {mark.get('job')!r}, not of {job!r}: choose another")
    return mark


def is_bookkeeping(name: str) -> bool:
    """Whether a file at the top of an output folder is about the run, not its result."""
    return name in (MARK_NAME, DONE_NAME, STATUS_NAME) or name.startswith((LOCK_PREFIX, TEMPORARY_PREFIX))


def mark(store: Store, job: str) -> None:
    """Marks a folder as a job's own."""
    _write_mark(store, job, "open")


def was_being_cleared(found: Mapping[str, Any] | None) -> bool:
    """Whether a mark tells of a run that was killed while it cleared the folder."""
    return found is not None and found.get("state") == _CLEARING


def clear(store: Store, job: str) -> None:
    """Deletes all in a marked folder but its mark and locks; the sign of finished work goes first.

    A run that is killed half-way leaves a mark that says so; the next one clears the rest.
    """
    _write_mark(store, job, _CLEARING)
    store.delete(DONE_NAME)
    for name in store.names():
        if name != MARK_NAME and not name.startswith(LOCK_PREFIX):
            store.delete(name)
    mark(store, job)


def refuse_overlap(out: str, inputs: Mapping[str, Iterable[str]]) -> None:
    """Makes sure that no input lies in the output folder, nor that in an input folder.

    `--overwrite` would delete the one; the next run would take the other's files for input.

    Args:
        out: resolved URI of the output folder.
        inputs: option to its resolved URIs.

    Raises:
        UsageError: they overlap.
    """
    for option, uris in inputs.items():
        for uri in uris:
            if contains(out, uri):
                raise UsageError(f"{option} {uri} lies in --out {out}: choose a folder of its own for the output")
            if contains(uri, out):
                raise UsageError(f"--out {out} lies in {option} {uri}: choose a folder outside")


def _write_mark(store: Store, job: str, state: str) -> None:
    store.write_json(
        MARK_NAME,
        {
            "job": job,
            "state": state,
            "about": f"This folder is written by `cxr-spark {job}`, and its --overwrite deletes all that is in it.",
            "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
    )


def _read(store: Store, name: str) -> dict[str, Any] | None:
    try:
        found = store.read_json(name)
    except FileNotFoundError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("job"), str) else None
