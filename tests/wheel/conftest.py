"""The wheel and the source archive, built once, and the wheel unpacked away from this folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SOURCES = ("cxr_spark", "setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the source archive, made of a copy of the sources: this checkout stays clean."""
    folder: Path = tmp_path_factory.mktemp("build")
    copied = [str(ROOT / name) for name in SOURCES]
    subprocess.run(["cp", "-r", *copied, str(folder)], check=True)
    for stale in folder.rglob("__pycache__"):
        subprocess.run(["rm", "-r", str(stale)], check=True)
    # `python -m build` makes the wheel of the source archive: what that lacks, the wheel lacks, too.
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder / "dist"


@pytest.fixture(scope="session")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package as pip installs it from the wheel, and nothing else."""
    folder: Path = tmp_path_factory.mktemp("installed")
    (wheel,) = dist.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run(pip, check=True)
    return folder
