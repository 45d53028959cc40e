"""Which files in an output folder a job wrote: for the job that deletes them, and for readers of the output."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import NamedTuple

from cxr_spark.errors import RunError
from cxr_spark.outputs.lock import LOCK_PREFIX
from cxr_spark.outputs.mark import DONE, DONE_NAME, MARK_NAME, NOTES, Mark, Record, is_note, read_mark, read_record
from cxr_spark.outputs.names import names_of
from cxr_spark.storage.file_system import is_temporary
from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)

STATUS_NAME = "_status.json"

#: The most names in one message.
_MOST_NAMES = 20


class Contents(NamedTuple):
    """The files in an output folder, by their names below it. The program's own notes on the run are left out.

    Attributes:
        own: files that the job wrote.
        foreign: files that it did not write.
        links: symbolic links. The program makes none.
    """

    own: list[str]
    foreign: list[str]
    links: list[str]


def is_bookkeeping(name: str) -> bool:
    """Whether a file or folder at the top of an output folder is about the run, not its result."""
    known = name in (MARK_NAME, DONE_NAME, STATUS_NAME, NOTES)
    return known or name.startswith(LOCK_PREFIX) or is_temporary(name)


def contents(store: Store, record: Record) -> Contents:
    """Tells a job's own files in its output folder from all others.

    Raises:
        RunError: the folder cannot be read.
    """
    mark, names = record.mark, names_of(record.mark.job)

    def is_own(name: str) -> bool:
        if name in mark.foreign:
            return False
        if name in mark.files or name in record.noted or names.added.fullmatch(name):
            return True
        if mark.complete:
            return False
        return names.is_fixed_or_made(name) or (not mark.keeps_notes and names.of_data.fullmatch(name) is not None)

    found = Contents([], [], [])
    try:
        tree = store.tree()
    except FileNotFoundError:
        return found
    for name in tree.files:
        if not (_is_of_the_run(name) or is_temporary(name)):
            (found.own if is_own(name) else found.foreign).append(name)
    return found._replace(links=tree.links)


def own_files(store: Store, job: str) -> set[str]:
    """Returns the names of the files in an output folder that a job wrote."""
    mark = read_mark(store) or Mark(job)
    return set(contents(store, read_record(store, mark)).own)


def delete_strays(store: Store, job: str, reported: Collection[str]) -> None:
    """Deletes the files of a job that no task reported. Attempts that failed or ran twice left them.

    Args:
        store: the output folder, held by this run.
        job: name of the job.
        reported: names of the files that count.

    Raises:
        RunError: a reported file is not there.
    """
    found = own_files(store, job)
    for name in sorted(name for name in found.difference(reported) if names_of(job).made.fullmatch(name)):
        log.info("deleting %s: no task reported it, so it is of a task that failed or ran twice", store.uri_of(name))
        store.delete(name)
    missing = set(reported) - found
    if missing:
        raise RunError(f"{len(missing)} files are gone after they were written, such as {store.uri_of(min(missing))}")


def finished_files(store: Store, job: str) -> frozenset[str] | None:
    """Returns the names of all files of a job's finished output; None where it is not finished, or not listed.

    For readers of an output: whatever else lies in the folder is not part of it.
    """
    try:
        mark = read_mark(store)
    except RunError:
        return None
    return mark.files if mark is not None and mark.job == job and mark.complete and mark.state == DONE else None


def told(names: Collection[str]) -> str:
    """Writes names for a message: the first few, and how many more there are."""
    first = ", ".join(sorted(names)[:_MOST_NAMES])
    return first + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")


def _is_of_the_run(name: str) -> bool:
    return is_note(name) or ("/" not in name and name != NOTES and is_bookkeeping(name))
