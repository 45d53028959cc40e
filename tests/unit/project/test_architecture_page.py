"""docs/architecture.md against the import contracts and the files that it names."""

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_drawing_shows_the_floors_of_the_import_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    drawn = PAGE.split("```")[1].strip().splitlines()
    assert [re.split(r"\s{2,}", line)[0] for line in drawn] == floors


def test_the_files_that_it_names_exist():
    paths = set(re.findall(r"`((?:cxr_spark|tests|[a-z_]+)/[\w/]+(?:\.py)?)`", PAGE))
    named = {path for path in paths if "NAME" not in path}
    assert len(named) > 10
    lost = [path for path in named if not any((ROOT / root / path).exists() for root in ("", "cxr_spark"))]
    assert not lost
