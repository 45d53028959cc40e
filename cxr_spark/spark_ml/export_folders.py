"""The folders that `fit` exports a DataFrame to, below its `workDir`: which are complete, and which are left over.

Each export has a folder of its own, `data-` and 16 random digits. It is locked while it is written and complete once it
has a manifest. What a `fit` that was killed has left is deleted by the next one.
"""

from __future__ import annotations

import logging
import re
import secrets
import time

from cxr_spark.errors import RunError
from cxr_spark.outputs.lock import LOCK_PREFIX, Witness, read_holder
from cxr_spark.storage.file_system import is_temporary
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import MANIFEST_NAME

log = logging.getLogger(__name__)

_NAME = re.compile(r"data-[0-9a-f]{16}")
#: What Spark and `fit` write in such a folder; Spark's files have a random part in their names.
_OWN_FILE = re.compile(
    r"manifest\.json|data/(split=[^/]+/)?(\.?part-\d{5}-[0-9a-f-]{36}[^/]*|\.?_SUCCESS(\.crc)?)|data/_temporary/.+"
)
#: Nothing has changed for so many seconds in an export whose writer nobody can ask: it is taken for dead. The clocks of
#: storage and driver may differ by much less.
_ABANDONED_AFTER = 24 * 3600.0


def new_name() -> str:
    """Returns the name of a new export."""
    return f"data-{secrets.token_hex(8)}"


def exports(folder: Store) -> list[str]:
    """Returns the sorted names of all exports, those that are being written too."""
    try:
        return [name for name in folder.names() if _NAME.fullmatch(name)]
    except FileNotFoundError:
        return []


def delete_export(folder: Store, name: str) -> None:
    """Deletes the files of an export, and its folders where nothing else is in them."""
    try:
        files = folder.tree(name).files
    except FileNotFoundError:
        return
    for file in files:
        below = file[len(name) + 1 :]
        if _OWN_FILE.fullmatch(below) or below.startswith(LOCK_PREFIX) or is_temporary(below):
            folder.delete(file)
    folder.remove_empty_folders(name)
    if not folder.remove_folder(name) and folder.exists(name):
        log.warning("%s holds files that `fit` did not write, and they stay", folder.uri_of(name))


def delete_dead_exports(folder: Store) -> None:
    """Deletes what a `fit` that was killed has left: exports that are not complete and that nobody writes."""
    for name in exports(folder):
        if not folder.exists(f"{name}/{MANIFEST_NAME}") and _is_dead(folder.child(name)):
            log.warning("deleting %s, left by a `fit` that was killed", folder.uri_of(name))
            delete_export(folder, name)


def _is_dead(export: Store) -> bool:
    try:
        holder = read_holder(export)
    except RunError:  # just being written, or damaged
        holder = None
    alive = Witness().is_alive(holder) if holder is not None else None
    if alive is not None:
        return not alive
    try:
        changed = max((file.modified for file in export.files()), default=time.time())
    except FileNotFoundError:
        return False
    return time.time() - changed > _ABANDONED_AFTER
