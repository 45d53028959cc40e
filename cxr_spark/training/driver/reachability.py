"""The reachability check: can the ranks reach each other? It takes seconds; torch would tell after a long time-out.

The tasks of a barrier stage learn each other's addresses through the driver. Each task then opens a connection to every
other one, over the addresses that the ranks will use.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cxr_spark.errors import RunError
from cxr_spark.runtime.tasks import barrier_parts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: Seconds in which a connection within a cluster must open.
CONNECT_TIMEOUT = 10.0


def check_reachability(spark: SparkSession, workers: int) -> None:
    """Checks that all ranks can run at the same time and reach each other.

    Raises:
        RunError: two of them cannot reach each other; the message names both.
    """
    started = time.monotonic()
    problems = barrier_parts(spark, workers, _try_all, "the reachability check")
    if problems:
        more = f" (and {len(problems) - 1} more such pairs)" if len(problems) > 1 else ""
        raise RunError(
            f"{problems[0]}{more}: every worker must reach every other one on all ports; check firewalls, and that "
            "the workers' addresses in Spark's pages are those of the network that they share"
        )
    log.info("%d ranks reach each other (%.1f s)", workers, time.monotonic() - started)


def _try_all(parts: Iterable[int]) -> Iterator[str]:
    """Tries, in a barrier task, to reach all other tasks; yields one sentence for each that it cannot reach."""
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    own = context.partitionId()
    host = context.getTaskInfos()[own].address.rpartition(":")[0]
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(socket.create_server((host, 0), backlog=1024))
            port, problem = server.getsockname()[1], None
        except OSError as error:
            port, problem = 0, f"rank {own} cannot listen on its worker's address {host}: {error.strerror}"
        told = [json.loads(text) for text in context.allGather(json.dumps([host, port]))]
        problems = [problem] if problem else []
        for other, (address, number) in enumerate(told):
            if other == own or not number:
                continue
            reason = _fails_to_reach(address, number)
            if reason:
                problems.append(f"rank {own} on {host} cannot reach rank {other} on {address}:{number} ({reason})")
        context.barrier()  # until all have tried
    yield from problems


def _fails_to_reach(address: str, port: int) -> str | None:
    try:
        socket.create_connection((address, port), CONNECT_TIMEOUT).close()
    except TimeoutError:
        return f"no answer in {CONNECT_TIMEOUT:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    return None
