"""Processes that start one thing at the same moment."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable

from cxr_spark.storage.store import Store


def ready(gate: Store, number: int) -> None:
    """Called by a racer: says that it is there, and waits for the start."""
    gate.write_bytes(f"ready/{number}", b"")
    while not gate.exists("go"):
        time.sleep(0.001)


def race(racer: Callable[..., None], gate: Store, number: int, *arguments: str) -> None:
    """Starts processes that call `racer(*arguments, gate's URI, their number)`, together, and waits for their ends."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cxr_spark.outputs.lock"])
    racers = [context.Process(target=racer, args=(*arguments, gate.uri, i)) for i in range(number)]
    for process in racers:
        process.start()
    while not gate.exists("ready") or len(gate.names("ready")) < number:
        time.sleep(0.01)
    gate.write_bytes("go", b"")
    for process in racers:
        process.join()
    assert [process.exitcode for process in racers] == [0] * number
