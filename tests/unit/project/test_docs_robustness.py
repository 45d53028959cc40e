"""docs/robustness.md names tests that there are, and each of its rows names one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "robustness.md").read_text()
ROWS = [row for row in PAGE.splitlines() if row.startswith("| ") and not row.startswith("| situation")]
#: A test by file and function; the file may be left out where it is that of the test before.
NAMED = re.compile(r"`((?:unit|networks|integration|mlflow)/[\w/]+\.py)?(?:::(\w+))?`")


def missing(row: str) -> list[tuple[str, str]]:
    """The tests that a row names and that are not there; one of no name where it names none."""
    path, lost = None, []
    cell = row.split(" | ")[-1]
    for file, function in NAMED.findall(cell) or [("", "")]:
        path = ROOT / "tests" / file if file else path
        if path is None or not path.is_file() or (function and f"\ndef {function}(" not in path.read_text()):
            lost.append((file, function))
    return lost


def test_every_row_names_tests_that_there_are() -> None:
    assert len(ROWS) > 45
    assert {row: lost for row in ROWS if (lost := missing(row))} == {}


def test_a_name_that_is_no_test_is_found() -> None:
    assert missing("| a | b | `unit/project/test_docs_robustness.py::test_nothing` |")
    assert missing("| a | b | no test |")
    assert not missing("| a | b | `unit/project/test_docs_robustness.py::test_a_name_that_is_no_test_is_found` |")
