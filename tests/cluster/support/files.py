"""Files on their way to and from the cluster's storage."""

from __future__ import annotations

from pathlib import Path

from cxr_spark.storage import Store


def put(folder: Path, uri: str) -> str:
    """Copies a local folder with all below it, and returns where to."""
    store = Store(uri)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.upload(path, path.relative_to(folder).as_posix())
    return uri


def visible(uri: str) -> list[str]:
    """Returns the names of all files below a folder."""
    return [info.name for info in Store(uri).files()]


def leftovers(uri: str) -> list[str]:
    """Returns what a run must not leave behind: locks, heartbeats, half-written files."""
    return [name for name in visible(uri) if name.rpartition("/")[2].startswith((".cxr-", "_lock"))]
