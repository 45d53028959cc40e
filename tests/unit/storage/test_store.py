"""The Store: what a reader can rely on while writers are killed, race, or hand it strange names."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.errors import RunError, UsageError
from cxr_spark.storage.places import contains
from cxr_spark.storage.store import Store, parent_and_name, read_uri, resolve

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


WRITER = """
import sys
from cxr_spark.storage.store import Store
store = Store(sys.argv[1])
print("ready", flush=True)
while True:
    for byte in b"ab":
        store.write_bytes("file", bytes([byte]) * 3_000_000)
"""


def test_a_reader_never_sees_a_part_of_a_file_whose_writer_is_killed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_bytes("file", b"0" * 3_000_000)
    seen = set()
    for attempt in range(8):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            end = time.monotonic() + 0.02 + 0.013 * attempt
            while time.monotonic() < end:
                data = store.read_bytes("file")
                assert len(data) == 3_000_000
                assert len(set(data)) == 1
                seen.add(data[:1])
            writer.send_signal(signal.SIGKILL)
        data = store.read_bytes("file")
        assert len(data) == 3_000_000
        assert len(set(data)) == 1
    assert seen & {b"a", b"b"}  # the writers did write meanwhile
    store.delete_temporaries()
    assert store.names() == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    store.write_bytes("file", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"^cannot write file://.*/file: No space left on device$"):
        store.write_bytes("file", b"new")
    assert store.read_bytes("file") == b"old"
    assert store.names() == ["file"]  # nothing half written stays


def race_for_the_prize(uri: str, number: int) -> None:
    store = Store(uri)
    store.write_bytes(f"ready/{number}", b"")
    while not store.exists("go"):
        time.sleep(0.001)
    if store.create_exclusive("prize", b"%02d" % number * 1000):
        store.write_bytes(f"won/{number:02}", b"")


def test_of_twenty_processes_one_creates_the_file(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cxr_spark.outputs.lock"])
    racers = [context.Process(target=race_for_the_prize, args=(str(tmp_path), i)) for i in range(20)]
    for racer in racers:
        racer.start()
    while not store.exists("ready") or len(store.names("ready")) < 20:
        time.sleep(0.01)
    store.write_bytes("go", b"")
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * 20
    (winner,) = store.names("won")
    assert store.read_bytes("prize").decode() == winner * 1000
    assert store.names() == ["go", "prize", "ready", "won"]


def test_create_exclusive_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as SMB and exFAT say it

    monkeypatch.setattr(os, "link", refuse)
    store = Store(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: store.create_exclusive("x", b"%d" % i), range(8)))
    assert won.count(True) == 1
    assert store.read_bytes("x") == b"%d" % won.index(True)
    assert store.names() == ["x"]


def test_create_exclusive_when_nfs_repeats_the_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def repeated(source: str, target: str) -> None:
        link(source, target)
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "link", repeated)
    assert Store(str(tmp_path)).create_exclusive("x", b"1")


def test_listing_is_sorted_and_has_hidden_names(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for name in ("b/2", "b/1", "a", "_x/.y", ".z", "b.txt"):
        store.write_bytes(name, b"12")
    assert [info.name for info in store.files()] == [".z", "_x/.y", "a", "b.txt", "b/1", "b/2"]
    assert [info.name for info in store.files(recursive=False)] == [".z", "a", "b.txt"]
    assert [info.name for info in store.files("b")] == ["b/1", "b/2"]
    assert store.names() == [".z", "_x", "a", "b", "b.txt"]
    info = next(iter(store.files("b")))
    assert (info.uri, info.size) == (f"file://{tmp_path}/b/1", 2)
    assert abs(info.modified - time.time()) < 60


def test_listing_follows_links_and_ends(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "x").write_bytes(b"1")
    root = tmp_path / "root"
    root.mkdir()
    (root / "one").symlink_to(tmp_path / "disk")
    (root / "two").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "up").symlink_to(root)  # leads back above
    (root / "self").symlink_to(".")
    assert [info.name for info in Store(str(root)).files()] == ["one/x", "two/x"]


def test_listing_tells_of_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to("nothing")
    (tmp_path / "x").write_bytes(b"1")
    assert [(info.name, info.size) for info in Store(str(tmp_path)).files()] == [("gone.png", 0), ("x", 1)]
    assert not Store(str(tmp_path)).exists("gone.png")


def test_listing_passes_over_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "x").write_bytes(b"1")
    assert [info.name for info in Store(str(tmp_path)).files()] == ["x"]


def test_listing_does_not_pass_over_an_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:  # root, who may run the tests, can read everything
        if path.endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(RunError, match=r"^cannot list file://.*: Permission denied"):
        list(Store(str(tmp_path)).files())


@pytest.mark.parametrize("flat", [False, True])
def test_a_folder_of_an_object_store_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch, flat: bool) -> None:
    store = Store("memory://listing")
    for name in ("open/x", "secret/y", "z"):
        store.write_bytes(name, b"1")
    kind = fsspec.get_filesystem_class("memory")
    whole = kind.ls

    def refuse(self: object, path: str, *arguments: object, **options: object) -> object:
        if path.rstrip("/").endswith("secret"):
            raise PermissionError(13, "Access Denied")
        return whole(self, path, *arguments, **options)

    def refuse_all(*_: object, **__: object) -> None:
        raise PermissionError(13, "Access Denied")

    assert [info.name for info in store.files()] == ["open/x", "secret/y", "z"]
    assert [info.name for info in store.files(recursive=False)] == ["z"]
    monkeypatch.setattr(kind, "ls", refuse)
    # Stores without real folders list all at once; the others inherit a listing that leaves out what fails.
    monkeypatch.setattr(kind, "find", refuse_all if flat else fsspec.spec.AbstractFileSystem.find)
    refused: list[str] = []
    assert [info.name for info in store.files(refused=refused)] == ["open/x", "z"]
    assert [path.rpartition("/")[2] for path in refused] == ["secret"]
    with pytest.raises(RunError, match="Access Denied"):
        list(store.files())
    monkeypatch.undo()
    store.delete()


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
