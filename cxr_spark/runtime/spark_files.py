"""What Spark will read from its own and Hadoop's settings files, known before it starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

_DEFAULT_FS = ("fs.defaultFS", "fs.default.name")  # the second is its name of long ago, still read
_INCLUDE = "{http://www.w3.org/2001/XInclude}include"
_MOST_INCLUDES = 5
_LOG4J_FILE = re.compile(r"log4j2?[.-].*")


def conf_folder() -> Path:
    """Returns the folder of spark-defaults.conf, as Spark's start script finds it."""
    folder = os.environ.get("SPARK_CONF_DIR")
    if folder:
        return Path(folder)
    home = os.environ.get("SPARK_HOME")
    if not home:
        import pyspark

        home = str(Path(pyspark.__file__).parent)
    return Path(home, "conf")


def spark_defaults() -> dict[str, str]:
    """Returns what spark-defaults.conf says; nothing where there is none."""
    try:
        lines = (conf_folder() / "spark-defaults.conf").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (re.split(r"[\s=:]+", line.strip(), maxsplit=1) for line in lines if not re.match(r"\s*([#!]|$)", line))
    return {key: rest[0] if rest else "" for key, *rest in pairs if key.startswith("spark.")}


def has_own_logging(conf: Mapping[str, str]) -> bool:
    """Whether the user has settled how the JVM logs: by a file beside spark-defaults.conf, or by a JVM option."""
    options = ("spark.driver.extraJavaOptions", "spark.driver.defaultJavaOptions")
    variables = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS")
    told = [conf.get(name, "") for name in options] + [os.environ.get(name, "") for name in variables]
    if any("log4j" in text for text in told):
        return True
    folder = conf_folder()
    return folder.is_dir() and any(
        _LOG4J_FILE.fullmatch(path.name) and path.suffix != ".template" for path in folder.iterdir()
    )


def default_fs_by_files(conf: Mapping[str, str]) -> str | None:
    """Returns Hadoop's `fs.defaultFS` as Spark will find it in its settings and in Hadoop's files.

    Args:
        conf: Spark settings, those of spark-defaults.conf included.

    Returns:
        The URI; None where only Spark can tell: its start script or class path may bring settings of their own.
    """
    for name in _DEFAULT_FS:
        if f"spark.hadoop.{name}" in conf:
            return conf[f"spark.hadoop.{name}"]
    if (
        (conf_folder() / "spark-env.sh").exists()
        or "spark.driver.extraClassPath" in conf
        or os.environ.get("SPARK_DIST_CLASSPATH")
    ):
        return None
    for variable in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        folder = os.environ.get(variable)
        if folder and Path(folder, "core-site.xml").exists():
            return _of_core_site(Path(folder, "core-site.xml"))
    return "file:///"


def hadoop_settings(conf: Mapping[str, str]) -> dict[str, str]:
    """Returns what Hadoop's own settings files and `spark.hadoop.*` say, as far as it is known without a JVM.

    Args:
        conf: Spark settings, those of spark-defaults.conf included.
    """
    found: dict[str, str] = {}
    for folder in dict.fromkeys(filter(None, map(os.environ.get, ("YARN_CONF_DIR", "HADOOP_CONF_DIR")))):
        for name in ("core-site.xml", "hdfs-site.xml"):
            found |= _properties(Path(folder, name))
    prefix = "spark.hadoop."
    return found | {key[len(prefix) :]: value for key, value in conf.items() if key.startswith(prefix)}


def _properties(path: Path, depth: int = 0) -> dict[str, str]:
    """Returns the properties of one of Hadoop's files, those of the files that it includes too."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return {}
    found: dict[str, str] = {}
    for child in root:
        if child.tag == _INCLUDE and depth < _MOST_INCLUDES:
            found |= _properties(path.parent / child.get("href", ""), depth + 1)
        elif child.tag == "property":
            found[child.findtext("name", "").strip()] = child.findtext("value", "").strip()
    return found


def _of_core_site(path: Path) -> str | None:
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    if any(not isinstance(child.tag, str) or child.tag != "property" for child in root):  # such as xi:include
        return None
    found = {prop.findtext("name", "").strip(): prop.findtext("value", "").strip() for prop in root}
    for name in _DEFAULT_FS:
        if name in found:
            return None if "$" in found[name] else found[name]
    return "file:///"
