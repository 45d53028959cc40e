"""A small prepared dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.prepared_files import SPLIT, N, with_files
from tests.support.prepared_sets import write_prepared


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_files(write_prepared(tmp_path / "data", {SPLIT: N}, files=1))
