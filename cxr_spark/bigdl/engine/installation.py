"""Checks, without a JVM, that BigDL is installed and works with the other Python packages."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cxr_spark.errors import UsageError

PACKAGE = "bigdl-dllib-spark3"
_CORE = "bigdl-core"
_INSTALL = (
    "`make bigdl` makes an environment for it in .venvs/bigdl; or, in one with pyspark 3.5 and numpy 1.26, "
    "pip install --no-deps six bigdl-core==2.4.0.dev0 bigdl-dllib-spark3==2.5.0b20240324"
)

#: Packages with the major versions that BigDL runs with, and the reason why others do not work.
_FITTING = {
    "pyspark": ((3,), "its jars are built for Spark 3"),
    "numpy": ((1,), "its Python calls what numpy 2 no longer has"),
}


def check_installation() -> None:
    """Checks that BigDL is installed and works with the packages beside it.

    Raises:
        UsageError: BigDL is not installed, or does not work with one of them.
    """
    for package in (PACKAGE, _CORE):
        if _version(package) is None:
            raise UsageError(f"train.backend=bigdl needs the package {package}, which is not installed: {_INSTALL}")
    for package, (majors, reason) in _FITTING.items():
        found = _version(package) or "none"
        if int(found.partition(".")[0]) not in majors:
            wanted = " or ".join(map(str, majors))
            raise UsageError(
                f"train.backend=bigdl does not run with {package} {found}, {reason}: "
                f"pip install '{package}=={wanted}.*' in the environment of BigDL (`make bigdl` makes one), "
                "or use train.backend=torch"
            )
    if importlib.util.find_spec("distutils") is None:
        raise UsageError(
            "train.backend=bigdl needs distutils, which this Python no longer has: pip install 'setuptools<81'"
        )


def jars() -> list[Path]:
    """Returns the jar files that BigDL's Python packages carry.

    They are found by the packages' own lists of files, because importing BigDL changes the environment of this process.

    Raises:
        UsageError: BigDL is not installed.
    """
    check_installation()
    folder = importlib.util.find_spec("bigdl")
    places = list(folder.submodule_search_locations or ()) if folder else []
    found = sorted(path for place in places for path in Path(place).glob("share/*/lib/*.jar"))
    if len(found) < 2:
        raise UsageError(f"the packages {PACKAGE} and {_CORE} lack their jars: {_INSTALL}")
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
