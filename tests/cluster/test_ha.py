"""HDFS by the name of a pair of NameNodes, and by viewfs, with nothing but Hadoop's own settings files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cxr_spark.storage.store import Store
from tests.cluster.support.files import put
from tests.cluster.support.ha import NAME, VIEW, HaHdfs
from tests.cluster.support.hadoop import Hadoop
from tests.cluster.support.network import Network
from tests.cluster.support.pipeline import Run
from tests.cluster.support.submit import Submitter


@pytest.fixture(scope="module")
def conf(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The settings' folder of HDFS with two NameNodes, of which the first has been lost."""
    hadoop = Hadoop(tmp_path_factory.mktemp("ha"), network)
    made = HaHdfs(hadoop)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HADOOP_CONF_DIR", str(hadoop.conf))
            before = Store(f"hdfs://{NAME}/data")
            before.write_bytes("before", b"written before")
            made.fail_over()
            # The same Store, and a client that never knew the first one.
            before.write_bytes("after", b"written after")
            assert before.read_bytes("before") == b"written before"
            yield hadoop.conf
    finally:
        made.stop()


@pytest.mark.parametrize("uri", [f"hdfs://{NAME}/data", f"viewfs://{VIEW}/data", "hdfs:///data"])
def test_files_by_every_name(conf: Path, uri: str) -> None:
    store = Store(uri)
    assert store.read_bytes("after") == b"written after"
    assert store.create_exclusive("lock", b"1") is True
    assert store.create_exclusive("lock", b"2") is False
    store.write_bytes("deep/er/file", b"1")
    store.write_bytes("deep/er/file", b"22")
    assert [(info.name, info.uri, info.size) for info in store.files("deep")] == [
        ("deep/er/file", f"{uri}/deep/er/file", 2)
    ]
    store.delete("deep")
    store.delete("lock")
    assert store.names() == ["after", "before"]


def test_jobs_read_and_write_them(conf: Path, local: Submitter, images: Path, reference: Run) -> None:
    """Python's side reads images by the pair's name and writes by viewfs; Spark's own side reads that again."""
    own = replace(local, environment={**local.environment, "HADOOP_CONF_DIR": str(conf)})
    run = Run(own, put(images, f"hdfs://{NAME}/nih"), f"viewfs://{VIEW}/data/run")
    run.prepare().ok()
    manifest, wanted = run.json("prepared/manifest.json"), reference.json("prepared/manifest.json")
    for part in ("joined", "prepared", "splits"):
        assert manifest[part] == wanted[part]

    scored, copied = Store(f"{reference.root}/scores"), Store(f"{run.root}/scores")
    for info in scored.files():
        copied.write_bytes(info.name, scored.read_bytes(info.name))
    run.evaluate().ok()
    assert run.json("evaluation/metrics.json")["macro"] == reference.json("evaluation/metrics.json")["macro"]
