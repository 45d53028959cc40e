"""A synthetic set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sample_sets import make


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample") / "set"
    assert make(out) == 0
    return out
