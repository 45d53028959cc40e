"""The ranks of a training on a cluster: one in each task of a barrier stage, as a child process of the task."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cxr_spark.training.driver.rank_output import pass_on
from cxr_spark.training.rank.channel import Channel, ChannelServer, new_key
from cxr_spark.training.rank.output import LineSender
from cxr_spark.training.rank.process import RankProcess, RankStart
from cxr_spark.training.rank.rendezvous import Rendezvous, RendezvousServer
from cxr_spark.training.specification import TrainingSpec

if TYPE_CHECKING:
    from pyspark import BarrierTaskContext
    from pyspark.sql import SparkSession


log = logging.getLogger(__name__)

#: Settings by which Spark encrypts its own connections.
_ENCRYPTING = ("spark.network.crypto.enabled", "spark.ssl.enabled", "spark.ssl.rpc.enabled")


def run_barrier_ranks(spark: SparkSession, spec: TrainingSpec) -> None:
    """Runs all ranks until they are done, and shows on the driver what they print.

    The key of the training goes to the tasks with Spark's own tasks, so it is as safe as Spark's connections are.

    Raises:
        Exception: Spark's error, where a rank failed or was lost.
    """
    conf = spark.sparkContext.getConf()
    if spec.train.workers > 1 and any(conf.get(name, "false").lower() == "true" for name in _ENCRYPTING):
        log.warning(
            "Spark's connections are encrypted here, but the gradients and labels that ranks exchange are not: see "
            "Security in docs/clusters.md"
        )
    address = conf.get("spark.driver.host", "127.0.0.1")
    key = new_key()
    with contextlib.ExitStack() as stack:
        server = listen_for_lines(conf.get("spark.driver.bindAddress", address), key)
        if server is not None:
            stack.callback(server.close)
        log_port = server.port if server else None
        task = BarrierRank(spec.model_dump_json(), spec.threads, key, address, log_port)
        workers = spec.train.workers
        spark.sparkContext.parallelize(range(workers), workers).barrier().mapPartitions(task).collect()


def listen_for_lines(address: str, key: str) -> ChannelServer | None:
    """Starts to take the lines that ranks print; None, with a warning, where the driver cannot listen on its address.

    Args:
        address: the address to listen on.
        key: the key of the training.
    """
    try:
        return ChannelServer(address, key, _receive_lines)
    except OSError as error:
        log.warning(
            "the driver cannot listen on %s (spark.driver.bindAddress): %s; what the ranks print is in the executors' "
            "logs only",
            address,
            error.strerror or error,
        )
        return None


def _receive_lines(channel: Channel) -> None:
    while True:
        pass_on(str(channel.receive().get("line", "")))


@dataclass(frozen=True)
class BarrierRank:
    """The function of a barrier task: it runs one rank.

    Attributes:
        spec_json: the training, as JSON.
        threads: CPU threads of a rank.
        key: the key of the training.
        log_host: address of the driver, which takes the lines that ranks print.
        log_port: its port; None where the driver takes no lines.
    """

    spec_json: str
    threads: int
    key: str
    log_host: str
    log_port: int | None

    def __call__(self, parts: Iterable[int]) -> Iterator[None]:
        """Runs the rank to its end.

        Raises:
            RunError: it failed.
        """
        from pyspark import BarrierTaskContext

        context = BarrierTaskContext.get()
        hosts = [task.address.rpartition(":")[0] for task in context.getTaskInfos()]
        own, world = context.partitionId(), len(hosts)
        with contextlib.ExitStack() as stack:
            port = 0
            if own == 0 and world > 1:
                server = RendezvousServer(hosts[0], self.key)
                stack.callback(server.close)
                port = server.rendezvous.port
            port = int(context.allGather(str(port))[0])
            rendezvous = Rendezvous(hosts[0], port, self.key) if world > 1 else None
            start = RankStart(self.spec_json, own, world, 0, rendezvous)
            environment = start.environment(os.environ, self.threads)
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(own_gpus(context))
            # What `--py-files` brought is on the search path of this task alone.
            environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path for path in sys.path if path))
            sender = stack.enter_context(LineSender(self.log_host, self.log_port, self.key))
            process = stack.enter_context(RankProcess(start, environment, sender.send))
            while not process.ended():
                process.wait()
            context.barrier()  # the rendezvous stays until the last rank is done
        return iter(())


def own_gpus(context: BarrierTaskContext) -> list[str]:
    """Returns the GPUs that Spark gave to this task, as CUDA_VISIBLE_DEVICES names them; none where it gave none.

    Spark counts from 0 what its discovery script found, which may be a part of the host's GPUs already.
    """
    resources = context.resources()
    addresses = list(resources["gpu"].addresses) if "gpu" in resources else []
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if visible and all(address.isdigit() and int(address) < len(visible) for address in addresses):
        return [visible[int(address)] for address in addresses]
    return addresses
