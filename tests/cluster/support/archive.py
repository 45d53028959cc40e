"""An archive of an environment, as `make env-archive` builds it, but small: what the prepare job's tasks import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.conftest import ROOT

#: Distributions that a task of the prepare job imports. No torch, no Spark, no plotting: 100 MB instead of gigabytes.
NEEDED = (
    "numpy", "pandas", "pyarrow", "opencv-python-headless", "isal", "numba", "llvmlite", "pydantic", "pydantic-core",
    "annotated-types", "typing-extensions", "typing-inspection", "PyYAML", "fsspec", "hdfs-native", "psutil", "pillow",
    "python-dateutil", "pytz", "tzdata",
)  # fmt: skip


def small_archive(folder: Path) -> Path:
    """Returns an archive with the package and `NEEDED`, made from the packages of this environment."""
    packer = Path(sys.executable).with_name("venv-pack")
    if not packer.exists():
        pytest.skip("no venv-pack here: pip install venv-pack")
    environment = folder / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    for name in NEEDED:
        _link(name, packages)
    shutil.copytree(ROOT / "cxr_spark", packages / "cxr_spark", ignore=shutil.ignore_patterns("__pycache__"))
    archive = folder / "env.tar.gz"
    command = [packer, "--prefix", environment, "--output", archive, "--compress-level", "1"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return archive


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
