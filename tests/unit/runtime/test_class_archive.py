"""The archive of Spark's classes is used where it fits and is whole, and only there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cxr_spark.runtime import class_archive


@pytest.fixture
def spark_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "spark"
    (home / "jars").mkdir(parents=True)
    (home / "jars" / "core.jar").write_bytes(b"classes")
    monkeypatch.setattr(class_archive, "_FOLDER", tmp_path / "with blank" / "archives")
    return home


def archived(java: Path, spark_home: Path) -> Path:
    """Puts an archive of 11 bytes where `make_archive` would."""
    folder = class_archive._FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{class_archive._name(java, spark_home)}-11.jsa"
    archive.write_bytes(b"all classes")
    return archive


def test_without_an_archive_java_gets_no_option(tmp_path: Path, spark_home: Path) -> None:
    assert class_archive.archive_options(tmp_path / "java", spark_home) == []


def test_an_archive_is_given_to_java(tmp_path: Path, spark_home: Path) -> None:
    archive = archived(tmp_path / "java", spark_home)
    (option,) = class_archive.archive_options(tmp_path / "java", spark_home)
    assert option.startswith(f'-XX:SharedArchiveFile="{archive}" ')


def test_an_archive_that_was_cut_short_is_not_used(tmp_path: Path, spark_home: Path) -> None:
    """Java would crash on it."""
    archive = archived(tmp_path / "java", spark_home)
    archive.write_bytes(b"all cla")
    assert class_archive.archive_options(tmp_path / "java", spark_home) == []


@pytest.mark.parametrize("change", ["another Java", "Java renewed", "jar added", "jar renewed", "jar touched"])
def test_an_archive_of_another_java_or_spark_is_not_used(tmp_path: Path, spark_home: Path, change: str) -> None:
    java, jar = tmp_path / "java", spark_home / "jars" / "core.jar"
    java.mkdir()
    archived(java, spark_home)
    if change == "another Java":
        java = tmp_path / "java 21"
    elif change == "Java renewed":
        (java / "release").write_text("17.0.16")
    elif change == "jar added":
        (spark_home / "jars" / "more.jar").write_bytes(b"more")
    elif change == "jar renewed":
        jar.write_bytes(b"other classes")
    else:
        os.utime(jar, ns=(1, 1))
    assert class_archive.archive_options(java, spark_home) == []
