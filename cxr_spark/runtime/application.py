"""One job's Spark application, and what paths mean before it is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from cxr_spark.errors import RunError
from cxr_spark.runtime import spark_files
from cxr_spark.runtime.session import (
    check_shared,
    default_fs,
    refuse_late,
    session,
    session_beside,
    under_spark_submit,
)
from cxr_spark.storage.places import SHARED_LOCAL
from cxr_spark.storage.store import resolve

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Application:
    """One job's Spark application, started only when it is needed.

    What paths mean is known without it in most cases, so a job whose work is finished says so at once.

    Args:
        name: shown in Spark's pages.
        master: Spark master URL; default `local[*]`, or spark-submit's.
        conf: Spark settings.

    Raises:
        UsageError: a setting that comes too late under spark-submit.
    """

    def __init__(self, name: str, master: str | None, conf: Mapping[str, str]) -> None:
        self._name = name
        self._asked_master = master
        self._asked = dict(conf)
        if under_spark_submit():
            refuse_late(master, self._asked)

    @cached_property
    def spark(self) -> SparkSession:
        """The session; it is started at the first use.

        Where this process has a session already, it is one beside that, in the same application: what a job sets does
        not change the session of the user.

        Raises:
            RunError: Hadoop's default file system is not the one by which paths were resolved.
        """
        guessed = self.__dict__.get("default_fs")
        found = _running_session()
        if found is None:
            spark = session(self._name, self._asked_master, self._asked)
        else:
            spark = session_beside(found, self._asked)
        if guessed is not None and _same_fs(guessed, default_fs(spark)) is False:
            raise RunError(
                f"bare paths were taken to be on {guessed}, but Spark's fs.defaultFS is {default_fs(spark)}: give "
                "paths with a scheme, such as hdfs:// or file://"
            )
        return spark

    @cached_property
    def default_fs(self) -> str:
        """The file system that bare paths belong to."""
        if not _is_running():
            look_up = _default_fs_by_gateway if under_spark_submit() else spark_files.default_fs_by_files
            found = look_up(self._conf)
            if found is not None:
                return found
        return default_fs(self.spark)

    @cached_property
    def _conf(self) -> dict[str, str]:
        from pyspark import SparkConf, SparkContext

        if _is_running():
            found = SparkContext._active_spark_context.getConf().getAll()
        elif under_spark_submit():
            SparkContext._ensure_initialized()
            found = SparkConf().getAll()
        else:
            found = spark_files.spark_defaults().items()
        return {**dict(found), **self._asked}

    @property
    def hadoop_settings(self) -> dict[str, str]:
        """What Hadoop's own files and the settings `spark.hadoop.*` say, as far as it is known without Spark."""
        return {**spark_files.hadoop_settings(self._conf), "fs.defaultFS": self.default_fs}

    @property
    def master(self) -> str:
        """Spark's master URL."""
        under = _is_running() or under_spark_submit()
        return str(self._asked_master or (self._conf.get("spark.master") if under else None) or "local[*]")

    def resolve(self, path: str) -> str:
        """Turns a path into a full URI."""
        return resolve(path, self.default_fs)

    def resolve_shared(self, path: str, option: str) -> str:
        """Turns a path that every node must reach into a full URI.

        Raises:
            UsageError: it is on the local disk while the executors are on other machines. A disk that all nodes mount
                is marked by the Spark setting `spark.cxr.sharedLocal=true`.
        """
        return check_shared(self.resolve(path), option, self.master, self._conf.get(SHARED_LOCAL, "false"))


def _running_session() -> SparkSession | None:
    """Returns the user's session; None where Spark is not running."""
    if not _is_running():
        return None
    from pyspark.sql import SparkSession

    # In a thread that has run no query yet none is active; the builder then gives the one that there is, unchanged.
    return SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()


def _is_running() -> bool:
    if "pyspark" not in sys.modules:
        return False
    from pyspark import SparkContext

    return SparkContext._active_spark_context is not None


def _default_fs_by_gateway(conf: Mapping[str, str]) -> str:
    """Asks the JVM of spark-submit, without an application, which would ask the cluster for executors."""
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()
    given = SparkConf()
    for key, value in conf.items():
        given.set(key, value)
    util = SparkContext._jvm.org.apache.spark.deploy.SparkHadoopUtil.get()
    return str(util.newConfiguration(given._jconf).get("fs.defaultFS", "file:///"))


def _same_fs(one: str, other: str) -> bool:
    return resolve("/", one) == resolve("/", other)
