"""The mark of an output folder: whose it is, and which files in it the job wrote.

`_cxr_spark.json` is written before a job's first file and again when the job is done. Between the two a job notes the
names that come from its data before it writes such a file, each list in a file of its own below `_written`. So whenever
a run is killed, every file that it wrote is known by its name.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cxr_spark.errors import RunError
from cxr_spark.storage.store import Store

MARK_NAME = "_cxr_spark.json"
DONE_NAME = "_done.json"
#: Folder of the notes; each is a JSON list of names below the output folder.
NOTES = "_written"
_NOTE = re.compile(rf"{NOTES}/[0-9a-f]{{32}}\.json")

#: States of a folder. A folder that is `CLEARING` belongs to a run that was killed while it deleted its files.
OPEN, CLEARING, DONE = "open", "clearing", "done"
#: Marks of this format come with notes and lists. Marks without a format are of earlier versions.
_FORMAT = 2


@dataclass(frozen=True)
class Mark:
    """The content of the mark.

    Attributes:
        job: name of the job that writes in the folder.
        state: `OPEN`, `CLEARING` or `DONE`.
        files: names of files that the job wrote.
        complete: whether the job wrote no others.
        foreign: names of files that the job did not write, though they look like its own.
        keeps_notes: whether the job notes the names that come from its data; earlier versions did not.
    """

    job: str
    state: str = OPEN
    files: frozenset[str] = frozenset()
    complete: bool = False
    foreign: frozenset[str] = frozenset()
    keeps_notes: bool = True


@dataclass(frozen=True)
class Record:
    """A mark together with the notes.

    Attributes:
        mark: the mark.
        noted: names in the notes.
        notes: names of the notes' own files.
    """

    mark: Mark
    noted: frozenset[str] = frozenset()
    notes: tuple[str, ...] = field(default=(), repr=False)


def read_mark(store: Store) -> Mark | None:
    """Returns the mark of a folder, or None where there is none.

    Raises:
        RunError: it is not JSON, or of a later version.
    """
    try:
        done = _read(store, DONE_NAME)
    except RunError:  # damaged: `claim` says so, and does the work again
        done = None
    found = _read(store, MARK_NAME) or done
    if found is None:
        return None
    version = found.get("format", 1)
    if version not in (1, _FORMAT):
        raise RunError(
            f"{store.uri_of(MARK_NAME)} has format {version!r}, and this version of cxr-spark reads 1 and {_FORMAT}: "
            "use the version that wrote the folder, or choose another --out"
        )
    state = str(found.get("state", OPEN))
    if state == DONE and done is None:  # the run was killed just before its end
        state = OPEN
    return Mark(
        job=found["job"],
        state=state,
        files=_names(found.get("files")),
        complete=found.get("complete") is True and state != OPEN,
        foreign=_names(found.get("foreign")),
        keeps_notes=version == _FORMAT,
    )


def write_mark(store: Store, mark: Mark) -> None:
    """Writes the mark of a folder, in the format of this version."""
    value: dict[str, Any] = {
        "format": _FORMAT,
        "job": mark.job,
        "state": mark.state,
        "about": f"`cxr-spark {mark.job}` writes in this folder. Its --overwrite deletes the files that it wrote.",
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "complete": mark.complete,
        "files": sorted(mark.files),
        "foreign": sorted(mark.foreign),
    }
    store.write_json(MARK_NAME, value)


def note(store: Store, names: Iterable[str]) -> None:
    """Notes names of files that are about to be written. Any process may call this, an executor's too.

    Args:
        store: the output folder.
        names: names below it.
    """
    store.write_json(f"{NOTES}/{secrets.token_hex(16)}.json", sorted(names))


def read_record(store: Store, mark: Mark) -> Record:
    """Returns a mark together with the notes of its folder. A damaged note is passed over: nothing is deleted by it."""
    noted: set[str] = set()
    try:
        notes = tuple(name for name in store.tree(NOTES).files if is_note(name))
    except FileNotFoundError:
        return Record(mark)
    for name in notes:
        try:
            noted.update(_names(store.read_json(name)))
        except (FileNotFoundError, RunError):
            continue
    return Record(mark, frozenset(noted), notes)


def forget_notes(store: Store, record: Record, mark: Mark) -> None:
    """Writes a mark that makes the notes needless, then deletes them."""
    write_mark(store, mark)
    for name in record.notes:
        store.delete(name)
    store.remove_folder(NOTES)


def is_note(name: str) -> bool:
    """Whether a file is one of the notes."""
    return _NOTE.fullmatch(name) is not None


def _read(store: Store, name: str) -> dict[str, Any] | None:
    try:
        found = store.read_json(name)
    except FileNotFoundError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("job"), str) else None


def _names(value: object) -> frozenset[str]:
    return frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else frozenset()
