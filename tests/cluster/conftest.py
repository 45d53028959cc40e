"""Fixtures of the cluster tests: one HDFS, one YARN, one Spark standalone cluster for the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_spark.storage import Store
from tests.cluster.support.files import put
from tests.cluster.support.hadoop import Hadoop, Hdfs
from tests.cluster.support.network import Network, make_network
from tests.cluster.support.processes import wait_for
from tests.cluster.support.submit import Submitter


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
        store = Store(started.uri)
        wait_for(lambda: _takes_files(store), "DataNode", 120)
        yield started
    finally:
        started.stop()


def _takes_files(store: Store) -> bool:
    from cxr_spark.errors import RunError

    try:
        store.write_bytes("probe", b"x")
    except RunError:
        return False
    return True


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic set in NIH's layout, on the local disk."""
    from cxr_spark.cli import main

    folder = tmp_path_factory.mktemp("sample") / "nih"
    assert main(["sample-data", "--out", str(folder), "--images", "120", "--size", "64", "--seed", "3"]) == 0
    return folder


@pytest.fixture(scope="session")
def nih(hdfs: Hdfs, images: Path) -> str:
    """The same set on HDFS."""
    return put(images, f"{hdfs.uri}/nih")


@pytest.fixture(scope="session")
def local(hadoop: Hadoop, hdfs: Hdfs, tmp_path_factory: pytest.TempPathFactory) -> Submitter:
    """Submits to local mode, with Hadoop's settings of the cluster."""
    conf = {"spark.driver.memory": "600m", "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false"}
    folder = tmp_path_factory.mktemp("local")
    return Submitter("local[2]", folder, conf, {"HADOOP_CONF_DIR": str(hadoop.conf), "SPARK_LOCAL_IP": "127.0.0.1"})
