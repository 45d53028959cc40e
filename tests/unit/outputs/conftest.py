"""Output folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_spark.storage.store import Store


@pytest.fixture(scope="module")
def fast_disk() -> Iterator[None]:
    """Nothing here is about a machine that loses power: files need not be on the disk at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "out"))
