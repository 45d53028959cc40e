"""What becomes of calls to a NameNode that freezes or starts again; tests/cluster has a real one."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from cxr_spark.storage import name_node
from cxr_spark.storage.name_node import NameNode, NoAnswerError, within

INTERRUPTED = RuntimeError("RPC listener disconnected")


class Client:
    """Raises what it is given, once each, and then answers."""

    def __init__(self, *errors: Exception, done: bool = False) -> None:
        self.errors = list(errors)
        self.files = {"/source"}
        self.calls: list[str] = []
        self.frozen = threading.Event()
        self.frozen.set()
        self._done = done  # what is interrupted

    def _next(self, call: str) -> None:
        self.calls.append(call)
        self.frozen.wait()
        if self.errors:
            raise self.errors.pop(0)

    def get_file_info(self, path: str) -> str:
        self._next("info")
        if path not in self.files:
            raise FileNotFoundError(path)
        return path

    def set_times(self, path: str, *, changed: int) -> int:
        self._next("times")
        return changed

    def rename(self, source: str, target: str, overwrite: bool) -> None:
        if self._done or not self.errors:
            self.files.remove(source)
            self.files.add(target)
        self._next("rename")

    def list_status(self, path: str, recursive: bool) -> Any:
        self._next("list")
        return iter(f"{path}/{i}" for i in range(2500))


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(name_node, "_PATIENCE", 0.3)
    monkeypatch.setattr(name_node, "_LITTLE_PATIENCE", 0.05)
    monkeypatch.setattr(name_node, "_SAFE_MODE_PAUSE", 0.05)


def test_calls_and_errors_go_through():
    client = Client(PermissionError("alice may not"))
    asked = NameNode(client)
    with pytest.raises(PermissionError, match="alice"):
        asked.set_times("/source", changed=3)
    assert asked.set_times("/source", changed=3) == 3
    assert list(asked.list_status("/a", True)) == [f"/a/{i}" for i in range(2500)]
    with pytest.raises(AttributeError):
        asked.no_such_call()


def test_a_frozen_name_node_is_not_waited_for_for_ever_and_soon_given_up_again(impatient):
    client = Client()
    asked = NameNode(client)
    client.frozen.clear()
    taken = []
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(NoAnswerError, match=r"no answer from the NameNode .*: run the job again"):
            asked.get_file_info("/source")
        taken.append(time.monotonic() - started)
    assert taken[1] < 0.3 <= taken[0]
    client.frozen.set()
    assert asked.get_file_info("/source") == "/source"
    client.frozen.clear()
    threading.Timer(0.15, client.frozen.set).start()  # patient again
    assert asked.get_file_info("/source") == "/source"


def test_a_name_node_that_starts_is_asked_until_it_has_started(impatient):
    safe = OSError('RPCError("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "wait")')
    client = Client(safe, safe)
    assert NameNode(client).get_file_info("/source") == "/source"
    assert client.calls == ["info"] * 3
    with pytest.raises(NoAnswerError, match="in safe mode"):
        NameNode(Client(*[safe] * 50)).get_file_info("/source")


def test_what_a_call_itself_says_of_time_stays():
    def call():
        raise TimeoutError("No data received for 10000ms")

    with pytest.raises(TimeoutError, match="10000ms"):
        within(5, call)


def test_an_interrupted_call_is_made_again_if_it_may_be():
    client = Client(INTERRUPTED)
    assert NameNode(client).get_file_info("/source") == "/source"
    assert client.calls == ["info", "info"]
    with pytest.raises(ConnectionResetError, match="connection to the NameNode broke"):
        NameNode(Client(INTERRUPTED, INTERRUPTED)).get_file_info("/source")
    with pytest.raises(ConnectionResetError, match="connection to the NameNode broke"):
        NameNode(Client(INTERRUPTED)).set_times("/source", changed=3)


@pytest.mark.parametrize(("done", "calls"), [(True, ["rename", "info"]), (False, ["rename", "info", "rename"])])
def test_an_interrupted_rename_is_done_once(done, calls):
    client = Client(INTERRUPTED, done=done)
    NameNode(client).rename("/source", "/target", False)
    assert (client.files, client.calls) == ({"/target"}, calls)
