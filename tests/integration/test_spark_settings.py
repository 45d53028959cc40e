"""The settings files for clusters: Spark itself knows every name in them, those that are commented out, too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

FILES = [*sorted((ROOT / "conf" / "spark").glob("*.conf")), ROOT / "docker" / "spark-defaults.conf"]
#: Where Spark declares its settings; they are known once these are loaded.
DECLARED_IN = (
    "org.apache.spark.internal.config.package$",
    "org.apache.spark.internal.config.Python$",
    "org.apache.spark.internal.config.UI$",
    "org.apache.spark.internal.config.Network$",
    "org.apache.spark.sql.internal.SQLConf$",
    "org.apache.spark.deploy.yarn.config.package$",
    "org.apache.spark.deploy.k8s.Config$",
)
#: Settings that Spark documents and reads by their plain names.
UNDECLARED = {"spark.master", "spark.local.dir", "spark.hadoop.fs.defaultFS", "spark.driver.defaultJavaOptions"}


def names(path: Path) -> set[str]:
    return set(re.findall(r"^#?(spark\.[A-Za-z.]+)\s+\S", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_spark_knows_every_setting(path: Path, spark: Any) -> None:
    java = spark.sparkContext._jvm
    for declares in DECLARED_IN:
        java.java.lang.Class.forName(declares)
    known = java.org.apache.spark.internal.config.ConfigEntry.findEntry
    found = names(path) - UNDECLARED
    assert found
    assert {name for name in found if known(name) is None} == set()
    assert known("spark.no.such.setting") is None
