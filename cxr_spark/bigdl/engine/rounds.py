"""A round of BigDL: one run of its `DistriOptimizer`, which takes some steps of synchronous SGD on all executors."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.bigdl.engine.jvm import Bridge
from cxr_spark.bigdl.engine.methods import Moments, Rate, make_method, make_slices, read_moments
from cxr_spark.bigdl.engine.session import Cluster, quiet, quiet_jvm
from cxr_spark.bigdl.model.network import Network
from cxr_spark.config import TrainSettings
from cxr_spark.errors import RunError
from cxr_spark.runtime.tasks import innermost_cause, java_trace

log = logging.getLogger(__name__)

#: Seconds between two looks at how far the round has come.
_LOOK_EVERY = 10.0
#: Gradients and weights are sent with all their bits; by default BigDL cuts them to 16.
_UNCOMPRESSED = "none"

#: A function that is called with the number of steps done and the loss of the last one.
Tell = Callable[[int, float], None]


class RoundRunner:
    """Runs rounds of BigDL on one cluster.

    Args:
        context: the SparkContext.
        cluster: the executors that train.
        settings: how to train.
        criterion: the criterion that `objective.make_criterion` returned.
    """

    def __init__(self, context: Any, cluster: Cluster, settings: TrainSettings, criterion: Any) -> None:
        self._context, self._cluster, self._settings, self._criterion = context, cluster, settings, criterion
        self._bridge = Bridge(context)

    def __call__(
        self, network: Network, samples: Any, steps: int, rate: Rate, moments: Moments | None, tell: Tell
    ) -> tuple[Moments, NDArray[np.float64]]:
        """Runs one round, which trains the network in place.

        Args:
            network: the network to train.
            samples: an RDD that `feed.Feed` made, with one partition for each node: exactly the samples of the steps.
            steps: number of steps.
            rate: the learning rate.
            moments: the state of the optimiser; None at the beginning.
            tell: called now and then with the number of steps done and the loss of the last one.

        Returns:
            The new state of the optimiser, and the loss of every step, float64 (steps,).

        Raises:
            RunError: BigDL failed, or lost an executor.
        """
        from bigdl.dllib.optim.optimizer import DistriOptimizer, MaxIteration, TrainSummary

        done = moments.steps if moments else 0
        method = make_method(self._settings, rate, done)
        with (
            tempfile.TemporaryDirectory(prefix="cxr-bigdl-") as folder,
            quiet_jvm(self._bridge.jvm),
            self._nothing_cached(),
        ):
            with quiet():
                summary = TrainSummary(folder, "round")
                optimizer = DistriOptimizer(
                    network.model, samples, self._criterion, MaxIteration(steps), self._settings.global_batch, method
                )
                optimizer.set_train_summary(summary)
            jvm_optimizer = optimizer.value
            jvm_optimizer.setCompressType(_UNCOMPRESSED)
            jvm_optimizer.reserveOptim(True)
            with _told(method, tell):
                try:
                    jvm_optimizer.prepareInput()
                    if moments and moments.vectors:
                        self._hand_out(network, jvm_optimizer, moments, rate)
                    jvm_optimizer.optimize()
                    methods = [by_name.values().head() for by_name in jvm_optimizer.previousOptim().collect()]
                except Exception as error:  # Py4J's, of whatever failed in the JVM
                    raise RunError(f"BigDL failed: {innermost_cause(java_trace(error))}") from error
            after = read_moments(self._bridge, self._settings, methods)
            losses = np.array(summary.read_scalar("Loss"), np.float64)[:, 1]
        if after.steps != done + steps:
            raise RunError(
                f"BigDL lost what its optimiser remembers ({after.steps} steps instead of {done + steps}): "
                "the training images moved to another executor"
            )
        return after, losses

    def _hand_out(self, network: Network, optimizer: Any, moments: Moments, rate: Rate) -> None:
        """Sends each node's moments to the executor that holds its images, where BigDL looks for them."""
        scala = self._context._jsc.sc()
        images = optimizer.dataset().toDistributed().originRDD()
        methods = make_slices(self._bridge, self._settings, rate, moments, self._cluster.nodes)
        placed = []
        for node, method in enumerate(methods):
            places = scala.getPreferredLocs(images, node)
            hosts = [places.apply(i).toString() for i in range(places.size())]
            by_name = self._bridge.jvm.PythonUtils.toScalaMap({network.model.value.getName(): method})
            placed.append(self._bridge.jvm.scala.Tuple2(by_name, self._bridge.sequence(hosts)))
        any_class = getattr(getattr(self._bridge.jvm.scala.reflect, "ClassTag$"), "MODULE$").AnyRef()
        # Without a checkpoint every task of every step would carry the moments.
        held = scala.makeRDD(self._bridge.sequence(placed), any_class).localCheckpoint()
        held.count()
        getattr(optimizer, "previousOptim_$eq")(held)

    @contextmanager
    def _nothing_cached(self) -> Iterator[None]:
        """Frees the memory of a round: its images, its copies of the network, and the blocks that were exchanged."""
        before = set(self._context._jsc.getPersistentRDDs().keySet())
        try:
            yield
        except BaseException:
            with suppress(Exception):  # the JVM may be gone; what ended the round is to be told
                self._free(before)
            raise
        self._free(before)

    def _free(self, before: Collection[int]) -> None:
        for number, rdd in dict(self._context._jsc.getPersistentRDDs()).items():
            if number not in before:
                rdd.unpersist()
        if self._context.master.startswith("local"):
            self._free_exchanged()

    def _free_exchanged(self) -> None:
        """Frees the blocks of weights and gradients in this JVM; those in other JVMs cannot be reached."""
        jvm = self._bridge.jvm
        parameters = jvm.com.intel.analytics.bigdl.dllib.optim.parameters
        exchange = getattr(getattr(parameters, "AllReduceParameter$"), "MODULE$")
        counter = exchange.getClass().getDeclaredField("nextId")
        counter.setAccessible(True)
        manager = self._context._jsc.sc().env().blockManager()
        locks = manager.blockInfoManager()
        for name in exchanged_blocks(int(counter.get(exchange)) - 1, self._cluster.nodes):
            block = jvm.org.apache.spark.storage.TestBlockId(name)
            found = locks.get(block)
            if found.isDefined():
                for _ in range(found.get().readerCount()):  # BigDL's threads leave the blocks locked
                    locks.unlock(block, jvm.scala.Option.empty())
                manager.removeBlock(block, False)


def exchanged_blocks(number: int, nodes: int) -> list[str]:
    """Returns the names of the blocks that hold weights and gradients of one round. BigDL itself never frees them.

    Args:
        number: number of the exchange, counted in the driver's JVM.
        nodes: number of nodes that take part.
    """
    own = [f"{number}{kind}{node}" for kind in ("weightBytes", "weights", "gradients") for node in range(nodes)]
    return own + [f"{number}_{to}gradientBytes{source}" for to in range(nodes) for source in range(nodes)]


@contextmanager
def _told(method: Any, tell: Tell) -> Iterator[None]:
    """Reports from a thread how far a round has come: `optimize` itself returns only at the end of the round."""
    over = threading.Event()
    state = method.value.state()

    def look() -> None:
        while not over.wait(_LOOK_EVERY):
            if state.contains("neval") and state.contains("Loss"):
                tell(int(state.get("neval").get()) - 1, float(state.get("Loss").get()))

    thread = threading.Thread(target=look, name="bigdl-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
