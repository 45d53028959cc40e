"""The rendezvous store against torch's own: the same calls give the same answers."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import torch.distributed as dist

from cxr_spark.training.rank.channel import new_key
from cxr_spark.training.rank.rendezvous import RendezvousServer, RendezvousStore


@pytest.fixture
def server():
    made = RendezvousServer("127.0.0.1", new_key())
    yield made
    made.close()


@pytest.fixture(params=["ours", "torch"])
def store(request, server):
    """Both stores as torch sees them: through its PrefixStore, in C++."""
    inner = RendezvousStore(server.rendezvous, 2) if request.param == "ours" else dist.HashStore()
    yield dist.PrefixStore("p", inner)
    inner.__class__  # noqa: B018  # C++ does not keep a store of Python's alive: this line does


def test_the_same_answers_as_of_torch(store):
    store.set("text", "value")
    assert store.get("text") == b"value"
    store.set("bytes", bytes(range(256)).decode("latin-1"))
    assert len(store.get("bytes")) > 256
    assert [store.add("count", 2), store.add("count", -1), store.add("count", 0)] == [2, 1, 1]
    assert store.get("count") == b"1"
    assert store.check(["text", "count"])
    assert not store.check(["text", "nothing"])
    assert store.compare_set("new", "", "first") == b"first"
    assert store.compare_set("new", "other", "second") == b"first"
    assert store.compare_set("new", "first", "second") == b"second"
    assert store.delete_key("new")
    assert not store.delete_key("new")
    assert store.num_keys() == 3
    with pytest.raises((RuntimeError, dist.DistStoreError)):
        store.wait(["nothing"], timedelta(seconds=0.1))


def test_a_value_is_waited_for(server):
    mine, other = (RendezvousStore(server.rendezvous, 5) for _ in range(2))
    timer = threading.Timer(0.2, other.set, ("late", "here"))
    timer.start()
    assert mine.get("late") == b"here"


def test_a_value_that_never_comes_ends_the_wait(server):
    store = RendezvousStore(server.rendezvous, 0.2)
    with pytest.raises(RuntimeError, match="did not come"):
        store.get("never")
