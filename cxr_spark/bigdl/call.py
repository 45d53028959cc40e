"""One call of BigDL: some steps of synchronous SGD on all executors."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.bigdl.jvm import Bridge, innermost_cause
from cxr_spark.bigdl.methods import Moments, Rate, make_method, make_slices, read_moments
from cxr_spark.bigdl.network import Network
from cxr_spark.bigdl.session import Cluster, quiet, quiet_jvm
from cxr_spark.config import TrainSettings
from cxr_spark.errors import RunError

log = logging.getLogger(__name__)

#: Seconds between two looks at how far the call has come.
_LOOK_EVERY = 10.0
#: Gradients and weights travel as they are; BigDL's default cuts them to 16 bits.
_UNCOMPRESSED = "none"

#: Is told the steps done and the loss of the last one.
Tell = Callable[[int, float], None]


class Caller:
    """Calls BigDL.

    Args:
        context: the SparkContext.
        cluster: what it trains on.
        settings: how to train.
        criterion: of `objective.make_criterion`.
    """

    def __init__(self, context: Any, cluster: Cluster, settings: TrainSettings, criterion: Any) -> None:
        self._context, self._cluster, self._settings, self._criterion = context, cluster, settings, criterion
        self._bridge = Bridge(context)

    def __call__(
        self, network: Network, samples: Any, steps: int, rate: Rate, moments: Moments | None, tell: Tell
    ) -> tuple[Moments, NDArray[np.float64]]:
        """Trains the network in place.

        Args:
            network: what to train.
            samples: RDD of `feed.Feed`, one partition a node: exactly what the steps need.
            steps: how many.
            rate: learning rate.
            moments: what the optimiser remembers; None at the beginning.
            tell: is told now and then how far it has come.

        Returns:
            What the optimiser remembers now, and the loss of every step, float64 (steps,).

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
                summary = TrainSummary(folder, "call")
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
                except Exception as error:  # Py4J's, of whatever failed in the JVM
                    raise RunError(f"BigDL failed: {innermost_cause(error)}") from error
            methods = [by_name.values().head() for by_name in jvm_optimizer.previousOptim().collect()]
            after = read_moments(self._bridge, self._settings, methods)
            losses = np.array(summary.read_scalar("Loss"), np.float64)[:, 1]
        if after.steps != done + steps:
            raise RunError(
                f"BigDL lost what its optimiser remembers ({after.steps} steps instead of {done + steps}): "
                "the training images moved to another executor"
            )
        return after, losses

    def _hand_out(self, network: Network, optimizer: Any, moments: Moments, rate: Rate) -> None:
        """Puts each node's moments on the executor that holds its images, where BigDL will look for them."""
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
        # Without a checkpoint each task of each step would carry what is held.
        held = scala.makeRDD(self._bridge.sequence(placed), any_class).localCheckpoint()
        held.count()
        getattr(optimizer, "previousOptim_$eq")(held)

    @contextmanager
    def _nothing_cached(self) -> Iterator[None]:
        """Frees what a call caches: its images, and copies of the network that BigDL itself forgets about."""
        before = set(self._context._jsc.getPersistentRDDs().keySet())
        try:
            yield
        finally:
            with suppress(Exception):  # a JVM that is gone has freed all, and what ended it is told already
                for number, rdd in dict(self._context._jsc.getPersistentRDDs()).items():
                    if number not in before:
                        rdd.unpersist()


@contextmanager
def _told(method: Any, tell: Tell) -> Iterator[None]:
    """Tells how far a call has come, from a thread: the call itself returns only at its end."""
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
