"""Fixtures of the cluster tests: one HDFS, one YARN, one Spark standalone cluster for the whole run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_spark.commands.main import main
from tests.cluster.support.files import put, real_images
from tests.cluster.support.hadoop import Hadoop, Hdfs
from tests.cluster.support.network import Network, make_network
from tests.cluster.support.pipeline import Run
from tests.cluster.support.standalone import SPARK_HOME, Standalone
from tests.cluster.support.submit import Submitter
from tests.cluster.support.yarn import Yarn
from tests.conftest import REAL_DATA, ROOT

#: What every driver gets: little, and soon.
_DRIVER = {
    "spark.driver.memory": "600m",
    "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "4",
}
#: What executors and driver get in all tests on clusters: one executor of one core on each of two hosts.
_SMALL = {
    **_DRIVER,
    "spark.executor.memory": "600m",
    "spark.executor.cores": "1",
    # No task starts before both are there: else the first may do all the work, and nothing is lost with the second.
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
    "spark.executor.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    "spark.pyspark.python": sys.executable,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test waits for servers and several submissions, on machines that may be busy."""
    for item in items:
        if "cluster" in item.path.parts:
            item.add_marker(pytest.mark.timeout(2400))


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Two hosts beside this one."""
    with make_network(2, tmp_path_factory.mktemp("network")) as made:
        yield made


@pytest.fixture(scope="session")
def hadoop(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Hadoop:
    """Hadoop's servers, none of them started yet."""
    return Hadoop(tmp_path_factory.mktemp("hadoop"), network)


@pytest.fixture(scope="session")
def hdfs(hadoop: Hadoop) -> Iterator[Hdfs]:
    """HDFS with a DataNode on each host; it takes files."""
    started = Hdfs(hadoop)
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set in NIH's layout, on the local disk: real images where they are, else synthetic ones."""
    folder = tmp_path_factory.mktemp("sample") / "nih"
    if REAL_DATA.is_dir():
        real_images(REAL_DATA, folder, 120)
    else:
        assert main(["sample-data", "--out", str(folder), "--images", "120", "--size", "64", "--seed", "3"]) == 0
    return folder


@pytest.fixture(scope="session")
def nih(hdfs: Hdfs, images: Path) -> str:
    """The same set on HDFS."""
    return put(images, f"{hdfs.uri}/nih")


@pytest.fixture(scope="session")
def local(network: Network, hadoop: Hadoop, hdfs: Hdfs, tmp_path_factory: pytest.TempPathFactory) -> Submitter:
    """Submits to local mode, with Hadoop's settings of the cluster."""
    conf = {**_DRIVER, "spark.driver.host": "127.0.0.1"}
    folder = tmp_path_factory.mktemp("local")
    return Submitter(
        "local[2]", network.head, folder, conf, {"HADOOP_CONF_DIR": str(hadoop.conf), "SPARK_LOCAL_IP": "127.0.0.1"}
    )


@pytest.fixture(scope="session")
def standalone(network: Network, hadoop: Hadoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """Spark's own cluster manager, a worker of two cores on each host."""
    made = Standalone(tmp_path_factory.mktemp("standalone"), network, {"HADOOP_CONF_DIR": str(hadoop.conf)})
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def on_standalone(
    standalone: Standalone, hdfs: Hdfs, hadoop: Hadoop, network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Submitter:
    """Submits to Spark standalone: two executors, one on each host."""
    conf = {
        **_SMALL,
        "spark.cores.max": "2",
        "spark.driver.host": network.driver,
        "spark.driver.bindAddress": network.driver,
    }
    environment = {"HADOOP_CONF_DIR": str(hadoop.conf), "SPARK_LOCAL_IP": network.driver}
    return Submitter(standalone.url, network.head, tmp_path_factory.mktemp("submit"), conf, environment)


@pytest.fixture(scope="session")
def yarn(hdfs: Hdfs, hadoop: Hadoop) -> Iterator[Yarn]:
    """YARN on the same hosts."""
    made = Yarn(hadoop)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def yarn_conf(network: Network) -> dict[str, str]:
    """Spark's settings on YARN, client mode: two executors, one on each host."""
    log = f"-Dlog4j2.configurationFile=file://{ROOT}/conf/spark/log4j2.properties"
    return {
        **_SMALL,
        "spark.driver.extraJavaOptions": f"{_SMALL['spark.driver.extraJavaOptions']} {log}",
        "spark.driver.host": network.driver,
        "spark.driver.bindAddress": network.driver,
        "spark.executor.instances": "2",
        "spark.executor.memoryOverhead": "900m",
        "spark.yarn.am.memory": "400m",
        # Every node has Spark's jars at the same place; else each submission uploads 300 MB of them.
        "spark.yarn.jars": f"local:{SPARK_HOME}/jars/*",
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.yarn.appMasterEnv.PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="session")
def on_yarn(
    yarn: Yarn,
    hadoop: Hadoop,
    network: Network,
    yarn_conf: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Submitter:
    """Submits to YARN."""
    environment = {"HADOOP_CONF_DIR": str(hadoop.conf), "SPARK_LOCAL_IP": network.driver}
    return Submitter("yarn", network.head, tmp_path_factory.mktemp("submit-yarn"), yarn_conf, environment)


@pytest.fixture(scope="session")
def reference(local: Submitter, nih: str, hdfs: Hdfs) -> Run:
    """The whole pipeline with two ranks, undisturbed, in local mode: what every cluster must give, too."""
    return Run(local, nih, f"{hdfs.uri}/local").all()
