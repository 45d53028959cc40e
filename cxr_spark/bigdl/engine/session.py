"""A Spark session in which BigDL can run: the settings that it needs before its JVM starts, and BigDL's engine."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from cxr_spark.bigdl.engine.installation import check_installation, jars
from cxr_spark.config import Engine
from cxr_spark.errors import UsageError
from cxr_spark.runtime import spark_files
from cxr_spark.runtime.cores import usable_cores
from cxr_spark.runtime.session import EXIT_WITHOUT_MEMORY
from cxr_spark.runtime.tasks import innermost_cause, java_trace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OPTION = "bigdl.engineType"
_DRIVER, _EXECUTORS = "spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"
#: The fraction of the machine's memory that the driver's JVM may take: in local mode BigDL trains inside it.
_LOCAL_MEMORY = 0.6
#: A class of BigDL's jars, and the type that py4j shows in its place where it is not there.
_PROBE, _MISSING = "com.intel.analytics.bigdl.dllib.utils.Engine", "JavaPackage"
#: The kinds of masters from which BigDL's engine can tell the number of nodes and cores.
_MASTERS = ("local", "spark://", "yarn", "k8s://", "mesos://")


@dataclass(frozen=True)
class Cluster:
    """The executors that BigDL trains on.

    Attributes:
        nodes: number of executors; 1 in local mode.
        cores: number of cores of each executor.
        replicas: number of copies of the network on each node, each of which takes its part of the batch: one for each
            core, or only one with mkldnn.
    """

    nodes: int
    cores: int
    replicas: int


def session_settings(engine: Engine, conf: Mapping[str, str]) -> dict[str, str]:
    """Returns Spark settings for a session that this process starts.

    Args:
        engine: the library that BigDL computes with.
        conf: the user's own settings.

    Raises:
        UsageError: BigDL is not installed.
    """
    given = {**spark_files.spark_defaults(), **conf}
    memory = int(psutil.virtual_memory().total * _LOCAL_MEMORY / 2**20)
    settings = {
        "spark.jars": ",".join([*filter(None, [given.get("spark.jars")]), *map(str, jars())]),
        "spark.driver.memory": given.get("spark.driver.memory", f"{memory}m"),
    }
    for key in (_DRIVER, _EXECUTORS):
        settings[key] = f"{given.get(key, '')} -D{_OPTION}={engine}".strip()
    return {**conf, **settings}


def local_master(master: str | None) -> str:
    """Returns a master with the number of cores in it: with `local[*]`, the default, BigDL would take half of them."""
    return f"local[{usable_cores()}]" if master in (None, "local[*]") else master


def submit_flags(engine: Engine) -> str:
    """Returns the options of spark-submit that BigDL needs."""
    return (
        f"--jars $(cxr-spark bigdl-jars) --driver-java-options '{EXIT_WITHOUT_MEMORY} -D{_OPTION}={engine}' "
        f"--conf {_EXECUTORS}=-D{_OPTION}={engine}"
    )


def start_engine(spark: SparkSession, engine: Engine) -> Cluster:
    """Starts BigDL's engine in a session, and undoes its changes to this process.

    Raises:
        UsageError: the session's JVM was started without BigDL's jars or for another engine, or runs on a cluster of
            a kind that BigDL does not know.
    """
    check_installation()
    context = spark.sparkContext
    if not str(context.master).startswith(_MASTERS) or str(context.master).startswith("local-cluster"):
        raise UsageError(
            f"train.backend=bigdl does not run on master {context.master}: use local, standalone, YARN or Kubernetes"
        )
    jvm: Any = context._jvm
    if type(_look_up(jvm, _PROBE)).__name__ == _MISSING:
        raise UsageError(
            "train.backend=bigdl needs BigDL's jars on driver and executors before Spark starts: give spark-submit "
            + submit_flags(engine)
        )
    if context.getConf().get("spark.speculation", "false").lower() == "true":
        raise UsageError(
            "spark.speculation=true: BigDL's tasks change what they hold and must not run twice at once: give "
            "--conf spark.speculation=false"
        )
    found = jvm.java.lang.System.getProperty(_OPTION) or "mklblas"
    if found.lower() != engine:
        raise UsageError(
            f"train.bigdl_engine={engine}, but the driver was started for {found}: give spark-submit "
            + submit_flags(engine)
        )
    with _unchanged_environment(), quiet(), quiet_jvm(jvm):
        from bigdl.dllib.nncontext import init_nncontext
        from bigdl.dllib.utils.common import get_node_and_core_number

        log_level = jvm.org.apache.logging.log4j.LogManager.getRootLogger().getLevel().toString()
        try:
            init_nncontext(redirect_spark_log=False, spark_log_level=log_level)
        except Exception as error:  # BigDL raises what it likes
            cause = innermost_cause(java_trace(error))
            raise UsageError(
                f"BigDL's engine does not start on {context.master}: {cause}; it reads the numbers of executors "
                "and cores from spark.executor.cores and spark.cores.max (standalone) or "
                "spark.executor.instances (YARN, Kubernetes): set both"
            ) from error
        nodes, cores = map(int, get_node_and_core_number())
    return Cluster(nodes, cores, 1 if engine == "mkldnn" else cores)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses what BigDL prints: a line for each layer that is made."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def quiet_jvm(jvm: Any) -> Iterator[None]:
    """Suppresses what BigDL prints in the JVM, whose standard output is that of this process."""
    console = getattr(getattr(jvm.scala, "Console$"), "MODULE$")
    system, before = jvm.java.lang.System, jvm.java.lang.System.out
    nowhere = jvm.java.io.PrintStream(jvm.java.io.ByteArrayOutputStream())
    system.setOut(nowhere)
    console.setOutDirect(nowhere)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # where the JVM is gone there is nothing to put back
            system.setOut(before)
            console.setOutDirect(before)


@contextlib.contextmanager
def _unchanged_environment() -> Iterator[None]:
    """Undoes changes of the environment.

    BigDL sets OMP_NUM_THREADS, and PYTHONHOME, with which every child Python of another environment dies.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def _look_up(jvm: Any, name: str) -> Any:
    for part in name.split("."):
        jvm = getattr(jvm, part)
    return jvm
