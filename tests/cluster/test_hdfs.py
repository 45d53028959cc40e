"""The Store on a real HDFS: what is atomic, what is exclusive, whose the files are."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.errors import RunError
from cxr_spark.storage import name_node
from cxr_spark.storage.store import Store
from tests.cluster.support.hadoop import Hdfs


@pytest.fixture
def store(hdfs: Hdfs, request: pytest.FixtureRequest) -> Store:
    return Store(f"{hdfs.uri}/store/{request.node.name}")


def test_files_are_replaced_as_a_whole(store: Store) -> None:
    store.write_bytes("a/b c#d?.txt", b"old")
    store.write_bytes("a/b c#d?.txt", b"new and longer")
    assert store.read_bytes("a/b c#d?.txt") == b"new and longer"
    assert [info.name for info in store.files()] == ["a/b c#d?.txt"]
    assert store.size("a/b c#d?.txt") == 14


def test_only_one_of_many_creates(store: Store) -> None:
    won: list[bool] = []
    threads = [
        threading.Thread(target=lambda i=i: won.append(store.create_exclusive("lock", str(i).encode())))
        for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 5 + [True]
    assert len(list(store.files())) == 1


def test_writes_go_on_when_a_data_node_is_lost(store: Store, hdfs: Hdfs, tmp_path: Path) -> None:
    """The NameNode names the lost one for a while yet, for one or for both copies of every second file."""
    large = tmp_path / "large"
    large.write_bytes(b"x" * (3 << 20))
    lost = hdfs.data_nodes[0]
    lost.kill()
    try:
        for number in range(4):
            store.write_bytes(f"small/{number}", str(number).encode())
        store.write_bytes("large", large.read_bytes())
        assert store.create_exclusive("lock", b"1") is True
        assert store.create_exclusive("lock", b"2") is False
        assert [store.read_bytes(f"small/{number}") for number in range(4)] == [b"0", b"1", b"2", b"3"]
        assert store.read_bytes("large") == large.read_bytes()
        assert hdfs.copies(store.uri) == {2}
    finally:
        lost.start()
        hdfs.wait_for_data_nodes()


def test_a_name_node_that_freezes_is_not_waited_for_for_ever(
    store: Store, hdfs: Hdfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_node, "_PATIENCE", 3.0)
    store.write_bytes("before", b"1")
    with hdfs.frozen(), pytest.raises(RunError, match=r"cannot write .*: no answer from the NameNode in 3 s"):
        store.write_bytes("meanwhile", b"2")
    store.write_bytes("after", b"3")
    assert [store.read_bytes(name) for name in ("before", "after")] == [b"1", b"3"]


def test_hidden_names_are_listed_and_folders_deleted(store: Store) -> None:
    for name in ("_x/.y", "z", "z2/w"):
        store.write_bytes(name, b"")
    assert [info.name for info in store.files()] == ["_x/.y", "z", "z2/w"]
    assert store.names() == ["_x", "z", "z2"]
    store.delete("_x")
    store.delete("gone")
    assert not store.exists("_x/.y")
    with pytest.raises(FileNotFoundError):
        store.read_bytes("gone")


def test_arrow_reads_what_the_store_wrote(store: Store) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": list(range(1000))}), sink, row_group_size=100)
    store.write_bytes("t.parquet", memoryview(sink.getvalue()))
    system, root = store.arrow()
    assert pq.read_table(f"{root}/t.parquet", filesystem=system)["x"].to_pylist() == list(range(1000))
