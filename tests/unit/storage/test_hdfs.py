"""Writing to HDFS when DataNodes are lost, by a stand-in for the client; tests/cluster/test_hdfs.py has a real HDFS."""

from __future__ import annotations

import contextlib
import gc
import io
from types import SimpleNamespace
from typing import Any

import pytest

from cxr_spark.storage import hdfs


class Stream(io.RawIOBase):
    """As hdfs-native's: Python closes it when it is forgotten."""

    def __init__(self, client: Client, path: str) -> None:
        self._client, self._path = client, path

    def write(self, piece: Any) -> int:
        self._client.write(self._path, piece)
        return len(piece)

    def close(self) -> None:
        self._client.closed.append(self._path)


class Client:
    """Fails to write so often, each time after a first piece; what was written whole is in `files`."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error = failures, error
        self.files: dict[str, bytes] = {}
        self.copies: list[int | None] = []
        self.kept: list[int] = []
        self.closed: list[str] = []

    def create(self, path: str, options: Any) -> Any:
        assert options.overwrite or path not in self.files
        self.copies.append(options.replication)
        self.files[path] = b""
        return Stream(self, path)

    def write(self, path: str, piece: bytes) -> None:
        self.files[path] += piece
        if self.failures:
            self.failures -= 1
            raise type(self.error)(*self.error.args)  # one that nobody keeps, with what its trace holds

    def get_file_info(self, path: str) -> Any:
        return SimpleNamespace(replication=3)

    def set_replication(self, path: str, copies: int) -> None:
        self.kept.append(copies)

    def rename(self, source: str, target: str, overwrite: bool) -> None:
        self.files[target] = self.files.pop(source)

    def delete(self, path: str, recursive: bool = True) -> bool:
        return self.files.pop(path, None) is not None

    def mkdirs(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def system(monkeypatch):
    def make(failures: int, error: Exception) -> tuple[hdfs.HdfsFileSystem, Client]:
        made = hdfs.HdfsFileSystem.__new__(hdfs.HdfsFileSystem)
        made._client = client = Client(failures, error)
        return made, client

    monkeypatch.setattr(hdfs, "_PAUSES", (0.0,) * 5)
    return make


LOST = OSError("Connection refused (os error 111)")


def test_a_write_that_goes_well_is_one(system):
    made, client = system(0, LOST)
    made.write("/a/b", memoryview(b"12"))
    assert client.files == {"/a/b": b"12"}
    assert (client.copies, client.kept) == ([None], [])


def test_further_attempts_ask_for_one_copy_and_the_others_come_later(system, caplog):
    made, client = system(2, LOST)
    made.write("/a/b", b"12")
    assert client.files == {"/a/b": b"12"}
    assert (client.copies, client.kept) == ([None, 1, 1], [3])
    assert caplog.text.count("a DataNode cannot be reached") == 2


def test_a_write_begins_anew_when_no_data_node_takes_it(system):
    made, client = system(1, RuntimeError('DataTransferError("All nodes failed for write")'))
    made.write("/a/x", b"12345")
    assert client.files == {"/a/x": b"12345"}


def test_it_gives_up_in_the_end_and_leaves_nothing(system):
    made, client = system(100, LOST)
    with pytest.raises(OSError, match="Connection refused"):
        made.create("/a/b", b"12")
    assert len(client.copies) == 6
    assert client.files == {}


@pytest.mark.parametrize(
    "error",
    [RuntimeError('RPCError("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException")'), PermissionError("no")],
)
def test_what_the_name_node_refuses_is_not_tried_again(system, error):
    made, client = system(100, error)
    with pytest.raises(type(error)):
        made.write("/a/b", b"12")
    assert client.copies == [None]


@pytest.mark.parametrize("failures", [0, 2, 99])
def test_what_failed_is_never_closed_and_the_rest_once(system, failures, monkeypatch):
    """Closing after a failure waits for blocks that no DataNode has."""
    monkeypatch.setattr(hdfs.log, "disabled", True)  # pytest keeps what is logged, and with an error all that it saw
    made, client = system(failures, LOST)
    with contextlib.suppress(OSError):
        made.write("/a/b", b"12")
    gc.collect()
    assert len(client.closed) == (failures < 99)


class Folders:
    """A client with folders, one of which may not be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.below = {"/d": ["/d/open", "/d/secret", "/d/x.png"], "/d/open": ["/d/open/y.png"], "/d/secret": []}

    def get_file_info(self, path: str) -> Any:
        return SimpleNamespace(isdir=path in self.below)

    def list_status(self, path: str, recursive: bool) -> Any:
        assert not recursive
        for name in self.below[path]:
            yield SimpleNamespace(path=name, isdir=name in self.below, length=3, modification_time=2000)
        if path == "/d/secret":
            raise self.error


DENIED = [
    PermissionError("Permission denied: user=cxr, access=READ_EXECUTE"),
    RuntimeError('RPCError("org.apache.hadoop.security.AccessControlException", "Permission denied: user=cxr")'),
]


@pytest.mark.parametrize("error", DENIED, ids=["PermissionError", "RPCError"])
def test_folders_that_may_not_be_read_are_named_and_the_others_listed(error):
    made = hdfs.HdfsFileSystem.__new__(hdfs.HdfsFileSystem)
    made._client = Folders(error)
    refused: list[str] = []
    assert sorted(made.walk("/d", True, refused.append)) == [("/d/open/y.png", 3, 2.0), ("/d/x.png", 3, 2.0)]
    assert refused == ["/d/secret"]
    assert list(made.walk("/d", False, refused.append)) == [("/d/x.png", 3, 2.0)]
    with pytest.raises(PermissionError, match="/d/secret"):
        list(made.walk("/d", True))
    with pytest.raises(type(error)):
        list(made.walk("/d/secret", True, refused.append))


def test_other_faults_of_a_folder_end_the_listing():
    made = hdfs.HdfsFileSystem.__new__(hdfs.HdfsFileSystem)
    made._client = Folders(LOST)
    with pytest.raises(OSError, match="Connection refused"):
        list(made.walk("/d", True, [].append))
