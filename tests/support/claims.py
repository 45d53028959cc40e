"""Runs that claim an output folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cxr_spark.outputs.claim import claim
from cxr_spark.storage.store import Store

SETTINGS: dict[str, Any] = {"size": 224, "images": ["file:///a"], "model": {"name": "resnet50"}}


def work(store: Store, job: str = "prepare", settings: dict[str, Any] | None = None, overwrite: bool = False) -> str:
    """Does a job's work, and returns what happened."""
    with claim(store, job, SETTINGS if settings is None else settings, overwrite) as claimed:
        if claimed.finished is not None:
            return f"finished {claimed.finished}"
        before = [name for name in store.names() if not name.startswith("_")]
        claimed.note(["data/part"])
        store.write_bytes("data/part", b"1")
        claimed.done({"images": 3})
    return f"worked on {before}"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
