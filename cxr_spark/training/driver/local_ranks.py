"""The ranks of a training on the driver's own host (local mode): nothing listens but on the loopback address."""

from __future__ import annotations

import contextlib
import os

from cxr_spark.runtime.session import let_children_import
from cxr_spark.training.driver.rank_output import pass_on
from cxr_spark.training.rank.channel import new_key
from cxr_spark.training.rank.process import RankProcess, RankStart, loopback_only
from cxr_spark.training.rank.rendezvous import RendezvousServer
from cxr_spark.training.specification import TrainingSpec

LOOPBACK = "127.0.0.1"
#: Seconds between two looks at the ranks.
_LOOK_EVERY = 0.2


def run_local_ranks(spec: TrainingSpec) -> None:
    """Runs all ranks as child processes until they are done. One rank needs no rendezvous, and opens no socket.

    Raises:
        RunError: a rank failed; the others are ended.
    """
    let_children_import()
    world = spec.train.workers
    spec_json = spec.model_dump_json()
    with contextlib.ExitStack() as stack:
        rendezvous = None
        if world > 1:
            server = RendezvousServer(LOOPBACK, new_key())
            stack.callback(server.close)
            rendezvous = server.rendezvous
        running = []
        for rank in range(world):
            start = RankStart(spec_json, rank, world, rank, rendezvous)
            environment = start.environment(os.environ, spec.threads) | loopback_only()
            running.append(stack.enter_context(RankProcess(start, environment, pass_on)))
        while running:
            running[0].wait(_LOOK_EVERY)
            running = [process for process in running if not process.ended()]
