"""Whose an output folder is, and which files in it: a job writes and deletes nothing but its own.

A job marks a folder that it finds new or empty. A folder with other content and without a mark is refused. In a folder
of its own a job deletes, by name, the files that it wrote; all others stay and are named in a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from cxr_spark.errors import RunError, UsageError
from cxr_spark.outputs.lock import LOCK_PREFIX
from cxr_spark.outputs.mark import (
    CLEARING,
    DONE,
    DONE_NAME,
    MARK_NAME,
    NOTES,
    OPEN,
    Mark,
    Record,
    forget_notes,
    is_note,
    read_mark,
    read_record,
    write_mark,
)
from cxr_spark.outputs.names import names_of
from cxr_spark.outputs.overlap import refuse_overlap
from cxr_spark.storage.file_system import is_temporary
from cxr_spark.storage.store import Store

__all__ = [
    "DONE_NAME",
    "MARK_NAME",
    "STATUS_NAME",
    "Contents",
    "check_ownership",
    "clear",
    "contents",
    "refuse_overlap",
]

log = logging.getLogger(__name__)

STATUS_NAME = "_status.json"

#: So many names are told in one message.
_MOST_NAMES = 20


class Contents(NamedTuple):
    """What lies in an output folder, by names below it. The program's own notes about the run are left out.

    Attributes:
        own: files that the job wrote.
        foreign: files that it did not write.
        links: symbolic links. The program makes none.
    """

    own: list[str]
    foreign: list[str]
    links: list[str]


def check_ownership(store: Store, job: str) -> Mark | None:
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
    mark = read_mark(store)
    if not content:
        return mark if mark is not None and mark.job == job else None
    if mark is None:
        raise UsageError(
            f"--out {store.uri} holds {content[0]!r}, which cxr_spark did not write: choose a new or empty folder"
        )
    if mark.job != job:
        raise UsageError(f"--out {store.uri} holds the output of {mark.job!r}, not of {job!r}: choose another")
    return mark


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
        if name in mark.files or name in record.noted:
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
    """Deletes the files of a job that no task reported: they are of attempts that failed or ran twice.

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


def take_up(store: Store, job: str, found: Mark | None) -> Contents:
    """Marks a folder as a job's own before the job writes in it, and deletes what its killed runs left half written.

    Args:
        store: the output folder, held by this run.
        job: name of the job.
        found: its mark; None for a new folder.

    Returns:
        What lies in it.

    Raises:
        UsageError: something that the job did not write lies where the job would write.
    """
    record = read_record(store, found or Mark(job))
    there = contents(store, record)
    _refuse_in_the_way(store, job, there)
    files = record.mark.files if record.mark.keeps_notes else frozenset(there.own)
    write_mark(store, replace(record.mark, state=OPEN, complete=False, files=files, keeps_notes=True))
    store.delete_temporaries()
    _warn_of_foreign(store, job, there)
    return there


def clear(store: Store, job: str) -> Contents:
    """Deletes the files that a job wrote in its output folder. The sign of finished work goes first.

    A run that is killed half-way leaves a mark that says so, and the next one deletes the rest.

    Returns:
        What is left.

    Raises:
        UsageError: something that the job did not write lies where the job would write.
    """
    mark = read_mark(store) or Mark(job)
    record = read_record(store, mark)
    there = contents(store, record)
    _refuse_in_the_way(store, job, there)
    files = mark.files if mark.keeps_notes else frozenset(there.own)
    write_mark(store, replace(mark, state=CLEARING, files=files, keeps_notes=True))
    store.delete(DONE_NAME)
    for name in there.own:
        store.delete(name)
    store.delete(STATUS_NAME)
    store.delete_temporaries()
    foreign = frozenset(name for name in there.foreign if names_of(job).is_writing_place(name))
    forget_notes(store, record, Mark(job, foreign=foreign))
    store.remove_empty_folders()
    _warn_of_foreign(store, job, there)
    return there._replace(own=[])


def finish(store: Store, job: str) -> None:
    """Lists in the mark all files that the job wrote; the sign of finished work must follow."""
    record = read_record(store, read_mark(store) or Mark(job))
    own = contents(store, record).own
    done = replace(record.mark, state=DONE, complete=True, files=frozenset(own), keeps_notes=True)
    forget_notes(store, record, done)


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


def _refuse_in_the_way(store: Store, job: str, there: Contents) -> None:
    names = names_of(job)
    foreign = [name for name in there.foreign if name in names.fixed]
    links = [name for name in there.links if names.is_writing_place(name)]
    if foreign or links:
        what = f"{told(foreign)}, which `cxr-spark {job}` did not write" if foreign else f"the symbolic link {links[0]}"
        raise UsageError(
            f"--out {store.uri} holds {what}, in a place where the job writes: move it away, or choose another --out"
        )


def _warn_of_foreign(store: Store, job: str, there: Contents) -> None:
    names = [*there.foreign, *there.links]
    if names:
        log.warning(
            "%s holds %d files that `cxr-spark %s` did not write, and they stay: %s",
            store.uri, len(names), job, told(names),
        )  # fmt: skip
