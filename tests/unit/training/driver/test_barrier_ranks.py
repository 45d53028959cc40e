"""What a barrier task gives its rank, and the way of the rank's lines to the driver."""

from __future__ import annotations

import logging
import pickle
import time
from types import SimpleNamespace

import pytest

from cxr_spark.training.driver import barrier_ranks
from cxr_spark.training.driver.barrier_ranks import BarrierRank, listen_for_lines, own_gpus
from cxr_spark.training.rank.channel import new_key
from cxr_spark.training.rank.output import LineSender

KEY = new_key()


def test_lines_of_ranks_come_to_the_driver_in_order(monkeypatch, capsys):
    taken: list[str] = []
    monkeypatch.setattr(barrier_ranks, "pass_on", taken.append)
    server = listen_for_lines("127.0.0.1", KEY)
    with LineSender("127.0.0.1", server.port, KEY) as sender:
        for number in range(3):
            sender.send(f"line {number}")
        deadline = time.monotonic() + 10
        while len(taken) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    server.close()
    assert taken == ["line 0", "line 1", "line 2"]
    assert capsys.readouterr().err.splitlines() == taken  # and into the executor's log


def test_a_driver_that_is_gone_stops_no_rank(capsys):
    server = listen_for_lines("127.0.0.1", KEY)
    with LineSender("127.0.0.1", server.port, KEY) as sender:
        server.close()
        for number in range(20):
            sender.send(f"line {number}")
            time.sleep(0.01)
    server.close()
    with LineSender("127.0.0.1", server.port, KEY) as sender:
        sender.send("nobody listens")
    told = capsys.readouterr().err
    assert "line 19" in told
    assert "the driver's log gets no more lines of this rank" in told
    assert "the driver's log does not get the lines of this rank: cannot connect" in told
    assert told.endswith("nobody listens\n")


def test_a_driver_that_cannot_listen_says_so_and_goes_on(caplog, capsys):
    with caplog.at_level(logging.WARNING):
        assert listen_for_lines("192.0.2.1", KEY) is None  # an address of nobody (RFC 5737)
    assert "cannot listen on 192.0.2.1" in caplog.text
    with LineSender("192.0.2.1", None, KEY) as sender:
        sender.send("in the executor's log")
    assert capsys.readouterr().err == "in the executor's log\n"


def test_a_task_is_small_and_picklable():
    task = BarrierRank("{}", 1, KEY, "127.0.0.1", 5)
    assert pickle.loads(pickle.dumps(task)) == task


@pytest.mark.parametrize(
    ("given", "visible", "expected"),
    [
        (None, None, []),
        (["0"], None, ["0"]),
        (["1"], "4,7", ["7"]),  # Spark counts what its discovery script found
        (["GPU-8f2a"], "4,7", ["GPU-8f2a"]),
        (["5"], "4,7", ["5"]),
        (None, "4,7", []),
    ],
)
def test_a_rank_sees_the_gpus_of_its_task_alone(monkeypatch, given, visible, expected):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    resources = {} if given is None else {"gpu": SimpleNamespace(addresses=given)}
    assert own_gpus(SimpleNamespace(resources=lambda: resources)) == expected
