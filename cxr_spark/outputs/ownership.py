"""Whose an output folder is, and which files in it: a job writes and deletes nothing but its own.

A job marks a folder that it finds new or empty. A folder with other content and without a mark is refused. In a folder
of its own a job deletes, by name, the files that it wrote; all others stay and are named in a warning.
"""

from __future__ import annotations

from dataclasses import replace

from cxr_spark.errors import RunError, UsageError
from cxr_spark.outputs.mark import (
    CLEARING,
    DONE,
    DONE_NAME,
    MARK_NAME,
    OPEN,
    Mark,
    forget_notes,
    read_mark,
    read_record,
    write_mark,
)
from cxr_spark.outputs.names import names_of
from cxr_spark.outputs.overlap import refuse_overlap
from cxr_spark.outputs.own_files import STATUS_NAME, Contents, contents, is_bookkeeping, told
from cxr_spark.storage.store import Store

__all__ = ["DONE_NAME", "MARK_NAME", "STATUS_NAME", "check_ownership", "clear", "finish", "refuse_overlap", "take_up"]


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
    return there._replace(own=[])


def finish(store: Store, job: str) -> None:
    """Lists in the mark all files that the job wrote; the sign of finished work must follow."""
    record = read_record(store, read_mark(store) or Mark(job))
    own = contents(store, record).own
    done = replace(record.mark, state=DONE, complete=True, files=frozenset(own), keeps_notes=True)
    forget_notes(store, record, done)


def _refuse_in_the_way(store: Store, job: str, there: Contents) -> None:
    names = names_of(job)
    foreign = [name for name in there.foreign if name in names.fixed]
    links = [name for name in there.links if names.is_writing_place(name)]
    if foreign or links:
        what = f"{told(foreign)}, which `cxr-spark {job}` did not write" if foreign else f"the symbolic link {links[0]}"
        raise UsageError(
            f"--out {store.uri} holds {what}, in a place where the job writes: move it away, or choose another --out"
        )
