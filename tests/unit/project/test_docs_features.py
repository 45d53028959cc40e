"""docs/features.md names tests and settings that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cxr_spark.config import load_settings

ROOT = Path(__file__).resolve().parents[3]
SECTIONS = re.split(r"^## ", (ROOT / "docs" / "features.md").read_text(), flags=re.MULTILINE)[1:]
ROWS = [row for section in SECTIONS for row in section.splitlines() if row.startswith("| ")][1:]


def test_every_test_that_is_named_is_there() -> None:
    missing = []
    for row in ROWS:
        path = None
        for file, function in re.findall(
            r"`((?:unit|networks|integration|mlflow)/[\w/]+\.py)?(?:::(\w+))?`", row.split("|")[-2]
        ):
            path = ROOT / "tests" / file if file else path
            if path is None or not path.is_file() or (function and f"\ndef {function}(" not in path.read_text()):
                missing.append((file, function))
    assert not missing


def test_every_row_has_a_test() -> None:
    rows = [row for row in ROWS if not row.startswith(("| feature", "|---"))]
    assert len(rows) > 35
    assert all(any(f"`{tier}/" in row for tier in ("unit", "networks", "integration")) for row in rows)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: re.search(r"conf/(\w+)", section)[1])
def test_every_setting_that_is_named_is_one(section: str) -> None:
    config = ROOT / re.search(r"conf/\w+\.yaml", section)[0]
    changes = [quoted or plain for quoted, plain in re.findall(r'--set (?:"([^"]+)"|([^\s`"]+))', section)]
    assert changes or "covid" in str(config)
    for change in changes:
        load_settings(str(config), [change.replace("=...", "=random")])
