"""What is in the wheel and in the source archive."""

from __future__ import annotations

import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

from packaging.specifiers import SpecifierSet

import cxr_spark
from tests.conftest import ROOT

DATA = {
    str(path.relative_to(ROOT))
    for path in (ROOT / "cxr_spark").rglob("*")
    if path.is_file() and path.parent.name != "__pycache__"
}


def test_wheel_holds_every_module_template_and_properties_file(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    assert names == DATA
    assert {Path(name).suffix for name in names} >= {".py", ".j2", ".properties", ".typed"}


def test_source_archive_holds_the_same_and_what_builds_it(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {*DATA, "setup.py", "pyproject.toml", "README.md", "LICENSE"} <= names


def test_metadata_of_the_wheel(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        (name,) = [each for each in file.namelist() if each.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(file.read(name).decode())
    assert (metadata["Name"], metadata["Version"]) == ("cxr-spark", cxr_spark.__version__)
    assert SpecifierSet(metadata["Requires-Python"]) == SpecifierSet(">=3.10,<3.15")
    pythons = {f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)}
    assert pythons <= set(metadata.get_all("Classifier"))
    required = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert not any(line.startswith("torch") for line in required)
    assert set(metadata.get_all("Provides-Extra")) == {
        "torch",
        "timm",
        "openvino",
        "java",
        "dicom",
        "calibration",
        "mlflow",
        "dev",
    }
