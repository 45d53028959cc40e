"""Paths become URIs: bare ones, relative ones and those of a home; and URIs are taken apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_spark.errors import UsageError
from cxr_spark.storage.places import contains
from cxr_spark.storage.store import Store, parent_and_name, read_uri, resolve
from cxr_spark.storage.uris import without_credentials

HDFS = "hdfs://namenode:8020"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/x", "file:///data/x"),
        ("/data/x/", "file:///data/x"),
        ("/data//x/./y/../z", "file:///data/x/z"),
        ("//data/x", "file:///data/x"),
        ("file:/data/x", "file:///data/x"),
        ("file:///data/x/", "file:///data/x"),
        ("FILE:///data/X", "file:///data/X"),
        ("file://localhost/data", "file:///data"),
        ("/", "file:///"),
        ("/../..", "file:///"),
        ("/data/a b", "file:///data/a b"),
        ("/data/a%20b", "file:///data/a%20b"),  # Hadoop's paths are not percent-decoded
        ("/data/röntgen", "file:///data/röntgen"),
        ("/data/a#b?c", "file:///data/a#b?c"),
        ("/data/a:b", "file:///data/a:b"),
        ("hdfs://nn:8020/x/", "hdfs://nn:8020/x"),
        ("hdfs://nn:8020", "hdfs://nn:8020/"),
        ("HDFS://nn:8020/x", "hdfs://nn:8020/x"),
        ("s3a://bucket/a/b", "s3a://bucket/a/b"),
    ],
)
def test_resolve(path: str, expected: str) -> None:
    assert resolve(path) == expected


def test_resolve_relative_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert resolve("a/b") == f"file://{tmp_path}/a/b"
    assert resolve("./a:b") == f"file://{tmp_path}/a:b"
    assert resolve("../a") == f"file://{tmp_path.parent}/a"
    assert resolve("~/a") == "file:///home/someone/a"


def test_bare_paths_belong_to_the_default_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HADOOP_USER_NAME", "ann")
    assert resolve("/data", HDFS) == f"{HDFS}/data"
    assert resolve("runs/1", HDFS) == f"{HDFS}/user/ann/runs/1"
    assert resolve("/data", HDFS + "/") == f"{HDFS}/data"
    assert resolve("/data", HDFS + "/base") == f"{HDFS}/data"  # as Hadoop: only scheme and host count
    assert resolve("hdfs:///data", HDFS) == f"{HDFS}/data"
    assert resolve("hdfs:///data", "file:///") == "hdfs:///data"
    assert resolve("file:///data", HDFS) == "file:///data"
    assert resolve("hdfs://other/data", HDFS) == "hdfs://other/data"


@pytest.mark.parametrize(
    "path", ["", "  ", "a\0b", "a\nb", "file:data", "hdfs:data", "file://host/data", "labels:v2.csv"]
)
def test_resolve_refuses(path: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(path)
    assert repr(path) in str(caught.value)


def test_a_relative_path_without_a_user_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000700000")

    monkeypatch.delenv("HADOOP_USER_NAME", raising=False)
    monkeypatch.setattr("getpass.getuser", nameless)
    with pytest.raises(UsageError, match="HADOOP_USER_NAME"):
        resolve("runs/1", HDFS)


def test_contains(tmp_path: Path) -> None:
    assert contains("file:///a", "file:///a/b")
    assert contains("file:///a", "file:///a")
    assert contains("hdfs://n/", "hdfs://n/a")
    assert not contains("file:///a", "file:///ab")
    assert not contains("hdfs://n/a", "hdfs://m/a/b")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert contains(f"file://{tmp_path}/real", f"file://{tmp_path}/link/x")


def test_parent_and_name() -> None:
    assert parent_and_name("/x")[0].uri == "file:///"
    store, name = parent_and_name("/tmp/a b/x%20.csv")
    assert (store.uri, name) == ("file:///tmp/a b", "x%20.csv")
    assert parent_and_name("memory://host/x")[0].uri == "memory://host/"


@pytest.mark.parametrize(
    "name", ["plain", "with space", "röntgen-胸部", "100%", "a%20b", "a#b?c;d", "-dash", "[1]{2}*", "'\""]
)
def test_names_are_taken_literally(tmp_path: Path, name: str) -> None:
    store = Store(str(tmp_path / name))
    store.write_bytes(f"{name}/{name}", b"1")
    assert (tmp_path / name / name / name).read_bytes() == b"1"
    assert [info.name for info in store.files()] == [f"{name}/{name}"]
    assert [read_uri(info.uri) for info in store.files()] == [b"1"]
    assert store.child(name).read_bytes(name) == b"1"
    assert store.names() == [name]
    store.delete(name)
    assert list(store.files()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://anna:secret@host:5000/a", "http://***@host:5000/a"),
        ("at https://token@host, and http://b:c@host", "at https://***@host, and http://***@host"),
        ("http://anna:se@cret@host/a", "http://***@host/a"),
        ("http://anna:se/cret@host/a", "http://***@host/a"),
        ("hdfs://namenode:8020/data/a@b", "hdfs://namenode:8020/data/a@b"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("file:///data/a@b", "file:///data/a@b"),
        ("anna@example.org", "anna@example.org"),
    ],
)
def test_users_and_passwords_are_taken_out_of_texts(text: str, expected: str) -> None:
    assert without_credentials(text) == expected
