"""An archive of an environment, as `make env-archive` builds it, but small: what the tasks of a job import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

#: What a task of the prepare job imports; what these need comes along. No torch, no Spark, no plotting: a tenth of it.
TO_PREPARE = ("numpy", "pandas", "pyarrow", "opencv-python-headless", "isal", "numba", "pydantic", "PyYAML", "fsspec",
         "hdfs-native", "psutil", "pillow")  # fmt: skip
#: What a task of the score job imports where OpenVINO is the engine.
TO_SCORE = (*TO_PREPARE, "openvino", "safetensors")


def small_archive(folder: Path, names: tuple[str, ...]) -> Path:
    """Returns an archive with the package and some distributions, made from the packages of this environment.

    Args:
        folder: where it is made.
        names: the distributions; all that they need comes along.
    """
    packer = Path(sys.executable).with_name("venv-pack")
    if not packer.exists():
        pytest.skip("no venv-pack here: pip install venv-pack")
    environment = folder / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    for name in _with_needs(names):
        _link(name, packages)
    shutil.copytree(ROOT / "cxr_spark", packages / "cxr_spark", ignore=shutil.ignore_patterns("__pycache__"))
    archive = folder / "env.tar.gz"
    command = [packer, "--prefix", environment, "--output", archive, "--compress-level", "1"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return archive


def _with_needs(names: tuple[str, ...]) -> set[str]:
    """Returns the names of distributions and of all that they need here."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found:
            continue
        found.add(name)
        needed = map(Requirement, distribution(name).requires or ())
        todo += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def _link(name: str, packages: Path) -> None:
    found = distribution(name)
    for file in found.files or ():
        source = Path(str(found.locate_file(file)))
        target = packages / file
        if ".." in file.parts or file.suffix == ".pyc" or not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another disk
            shutil.copy2(source, target)
