"""The pins stay above the versions that have the known holes of conf/advisories.md."""

from __future__ import annotations

import datetime
import re
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.unit.project.test_packaging import DEFAULT, FOR_BIGDL, FOR_PYTHON_310, package, pinned

__all__ = ["package"]  # the fixture
TEXT = (ROOT / "conf" / "advisories.md").read_text()


class Advisory(NamedTuple):
    package: str
    names: str
    needed: SpecifierSet
    reached: bool


def advisories() -> list[Advisory]:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TEXT.splitlines() if line.startswith("| ")]
    return [Advisory(canonicalize_name(row[0]), row[1], SpecifierSet(row[2]), row[3] == "yes") for row in rows[1:]]


@pytest.mark.parametrize("name", [DEFAULT, FOR_PYTHON_310, FOR_BIGDL])
@pytest.mark.parametrize("advisory", advisories(), ids=lambda each: f"{each.package}-{each.names[:14]}")
def test_pins_are_without_known_holes(advisory: Advisory, name: str) -> None:
    pin = pinned(name)[advisory.package]
    assert advisory.needed.contains(pin), f"conf/{name} pins {advisory.package} {pin}, which has {advisory.names}"


@pytest.mark.parametrize("advisory", [each for each in advisories() if each.reached], ids=lambda each: each.names[:14])
def test_ranges_admit_no_hole_that_can_be_reached(package: dict[str, Any], advisory: Advisory) -> None:
    texts = [*package["install_requires"], *package["extras_require"]["dev"]]
    (requirement,) = {each for each in map(Requirement, texts) if canonicalize_name(each.name) == advisory.package}
    lowest = next(each.version for each in requirement.specifier if each.operator == ">=")
    excluded = {each.version for each in advisory.needed if each.operator == "!="}
    assert advisory.needed.contains(lowest), f"{requirement} admits {lowest}, which has {advisory.names}"
    assert not any(requirement.specifier.contains(version) for version in excluded)


def test_every_line_names_an_advisory_and_the_date_is_told() -> None:
    assert len(advisories()) >= 10
    for each in advisories():
        assert all(re.fullmatch(r"(CVE|GHSA|PYSEC)-[\w-]+", name) for name in each.names.split(", ")), each.names
    (day,) = re.findall(r"on (\d{4}-\d\d-\d\d)", TEXT)
    datetime.date.fromisoformat(day)


def test_libraries_that_read_bytes_of_unknown_makers_are_considered() -> None:
    named = {each.package for each in advisories()}
    assert {
        "opencv-python-headless",
        "imagecodecs",
        "h5py",
        "pydicom",
        "pillow",
        "torch",
        "pyarrow",
        "pyspark",
    } <= named
