"""Stores: names, faults, whole files and objects."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.errors import RunError, UsageError
from cxr_spark.storage.store import Store, read_uri


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_a_name_cannot_leave_its_store(tmp_path: Path, name: str) -> None:
    store = Store(str(tmp_path / "store"))
    for use in (store.exists, store.read_bytes, store.uri_of, store.child, store.delete):
        with pytest.raises(ValueError, match="leaves"):
            use(name)
    with pytest.raises(ValueError, match="leaves"):
        store.write_bytes(name, b"")


def test_store_of_the_root_folder(tmp_path: Path) -> None:
    root = Store("/")
    name = str(tmp_path / "x").lstrip("/")
    root.write_bytes(name, b"1")
    assert root.read_bytes(name) == b"1"
    assert root.uri_of(name) == f"file://{tmp_path}/x"
    assert [info.uri for info in root.files(str(tmp_path).lstrip("/"))] == [f"file://{tmp_path}/x"]


def test_travels_by_pickle(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_bytes("x", b"1")
    again = pickle.loads(pickle.dumps(store))
    assert (again.uri, again.read_bytes("x")) == (store.uri, b"1")


def test_missing_files(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (tmp_path / "file").write_bytes(b"")
    for name in ("nothing", "no/such", "file/below"):
        assert not store.exists(name)
        with pytest.raises(FileNotFoundError):
            store.read_bytes(name)
        with pytest.raises(FileNotFoundError):
            list(store.files(name))
        store.delete(name)
    with pytest.raises(FileNotFoundError):
        list(store.files("file"))


def test_faults_are_one_line_that_names_the_file(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match=r"^cannot read file://.*/folder: Is a directory$"):
        store.read_bytes("folder")
    with pytest.raises(RunError, match=r"^cannot write file://.*/file/below: "):
        store.write_bytes("file/below", b"")
    with pytest.raises(RunError, match=r"^cannot look for file://.*/loop: Too many levels of symbolic links$"):
        store.exists("loop")
    with pytest.raises(RunError, match=r"^cannot write file://.*: File name too long$"):
        store.write_bytes("x" * 300, b"")
    with pytest.raises(UsageError, match="'nosuch://a/b'"):
        Store("nosuch://a/b")


def test_longest_file_name(tmp_path: Path) -> None:
    Store(str(tmp_path)).write_bytes("x" * 255, b"1")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"1"


def test_json(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_json("a.json", {"ä": [1, None]})
    assert store.read_json("a.json") == {"ä": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write_json("b.json", float("nan"))
    assert store.names() == ["a.json"]
    for damaged in (b"", b'{"a": 1', b"\xff\xfe", b"[" * 100_000):
        store.write_bytes("c.json", damaged)
        with pytest.raises(RunError, match=r"c\.json is not JSON"):
            store.read_json("c.json")


def test_read_no_more_than_the_limit() -> None:
    assert len(read_uri("/dev/zero", limit=1000)) == 1000


def test_delete_removes_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "x").write_bytes(b"1")
    store = Store(str(tmp_path / "out"))
    store.write_bytes("folder/x", b"1")
    (tmp_path / "out" / "link").symlink_to(tmp_path / "precious")
    (tmp_path / "out" / "folder" / "link").symlink_to(tmp_path / "precious")
    (tmp_path / "out" / "dangling").symlink_to("nothing")
    for name in store.names():
        store.delete(name)
    assert store.names() == []
    assert (tmp_path / "precious" / "x").read_bytes() == b"1"


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    before = os.umask(0o027)
    try:
        store.write_bytes("w", b"")
        store.create_exclusive("c", b"")
    finally:
        os.umask(before)
    assert {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "wc"} == dict.fromkeys("wc", 0o640)


def test_large_files(tmp_path: Path) -> None:
    data = os.urandom(10_000_000)
    for store in (Store(str(tmp_path / "out")), Store("memory://large")):
        store.write_bytes("a/b", data)
        assert store.size("a/b") == len(data)
        assert store.read_bytes("a/b") == data
        assert [info.name for info in store.files()] == ["a/b"]


@pytest.mark.parametrize("uri", ["{tmp}/a b#c", "memory://arrow/x"])
def test_arrow_reads_what_the_store_wrote(tmp_path: Path, uri: str) -> None:
    store = Store(uri.format(tmp=tmp_path))
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "t.parquet")
    store.write_bytes("t.parquet", (tmp_path / "t.parquet").read_bytes())
    file_system, root = store.arrow()
    assert pq.read_table(f"{root}/t.parquet", filesystem=file_system).to_pydict() == {"x": [1, 2]}


def test_object_store(tmp_path: Path) -> None:
    store = Store("memory://bucket/run")
    assert not store.exists()
    assert store.create_exclusive("lock", b"1")
    assert not store.create_exclusive("lock", b"2")
    store.write_bytes("data/x", memoryview(b"12"))
    store.write_json("done.json", {})
    assert [info.name for info in store.files()] == ["data/x", "done.json", "lock"]
    assert [info.name for info in store.files(recursive=False)] == ["done.json", "lock"]
    assert store.names() == ["data", "done.json", "lock"]
    assert store.child("data").read_bytes("x") == b"12"
    store.delete("data")
    assert store.exists("lock")
    assert not store.exists("data/x")
    with pytest.raises(FileNotFoundError):
        list(store.files("data"))


def test_no_access_is_not_taken_for_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("memory://bucket/secret")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Forbidden")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "info", refuse)
    with pytest.raises(RunError, match="Forbidden"):
        store.exists("done.json")
