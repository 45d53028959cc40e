"""The training loop of the BigDL backend, on the driver: rounds of BigDL, between them validation and checkpoints."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from cxr_spark.bigdl.engine.jvm import Bridge
from cxr_spark.bigdl.engine.methods import Moments, Rate
from cxr_spark.bigdl.engine.rounds import RoundRunner
from cxr_spark.bigdl.engine.session import Cluster
from cxr_spark.bigdl.executor.feed import Feed, Steps
from cxr_spark.bigdl.executor.forward import ForwardPasses
from cxr_spark.bigdl.limits import check_message
from cxr_spark.bigdl.model.network import Network
from cxr_spark.bigdl.model.objective import make_criterion, terms_of_batch
from cxr_spark.errors import DivergedError
from cxr_spark.models.freezing import freeze
from cxr_spark.tables.schema import TRAIN, VALIDATION
from cxr_spark.training import schedule
from cxr_spark.training.balance import class_weights
from cxr_spark.training.checkpoints import Checkpoint, Checkpoints, Progress
from cxr_spark.training.rank.loss import Objective
from cxr_spark.training.rank.optimizer import decay_by_name
from cxr_spark.training.rank.shards import check_one_label_each, read_index
from cxr_spark.training.record import EpochResult, Record, close_epoch
from cxr_spark.training.specification import TrainingSpec

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: The fraction of an executor's storage memory that the images of one round may take.
_MEMORY_FRACTION = 1 / 3


@dataclass(frozen=True)
class _State:
    """The state of the network and of the optimiser."""

    network: dict[str, torch.Tensor]
    moments: Moments | None


class BigDLTraining:
    """Trains from the last checkpoint to the end.

    Args:
        spark: a session in which BigDL's engine has been started.
        spec: the training.
        cluster: the executors to train on.
    """

    def __init__(self, spark: SparkSession, spec: TrainingSpec, cluster: Cluster) -> None:
        self._spec, self._settings, self._cluster = spec, spec.train, cluster
        self._context = spark.sparkContext
        dataset = spec.dataset()
        index = read_index(dataset, TRAIN)
        if spec.model.task == "single_label":
            check_one_label_each(index)
        shared = self._context.broadcast(index)
        weights: NDArray[np.float32] | None = None
        if self._settings.balancing == "class_weights":
            weights = class_weights(spec.model.task, index.labels, spec.findings, self._settings.class_weights)
        replica_batch = self._settings.global_batch // (cluster.nodes * cluster.replicas)
        terms = terms_of_batch(spec.model.task, index.labels, replica_batch)
        self._feed = Feed(spec.model_dump_json(), shared, weights, terms, cluster.nodes)
        held = self._context.broadcast(read_index(dataset, VALIDATION))
        self._forward = ForwardPasses(spark, spec, shared, held, Objective(spec.model.task))
        node_batch = self._settings.global_batch // cluster.nodes
        self._steps = math.ceil(math.ceil(len(index) / cluster.nodes) / node_batch)
        self._steps_per_round = max(1, _images_per_round(self._context, spec) // node_batch)
        self._record = Record(spec, self._steps)
        self._run_round = RoundRunner(self._context, cluster, self._settings, make_criterion(spec.model.task))
        log.info(
            "training: %d images, %d for validation, BigDL %s on %d executors of %d cores, batch norms see %d images, "
            "%d steps an epoch, %d a round",
            len(index),
            len(held.value),
            self._settings.bigdl_engine,
            cluster.nodes,
            cluster.cores,
            replica_batch,
            self._steps,
            self._steps_per_round,
        )

    def run(self) -> None:
        """Trains to the end.

        Raises:
            DivergedError: the loss is not finite.
            RunError: BigDL failed.
        """
        start = Checkpoints(self._spec.checkpoints).load()
        if start is None:
            raise RuntimeError(f"no checkpoint in {self._spec.checkpoints.uri}: `training.start` writes the first one")
        module = self._spec.network()
        freeze(module, self._spec.model.freeze)
        network = Network(
            self._spec.model.architecture, module, Bridge(self._context), decay_by_name(module, self._settings)
        )
        conf = dict(self._context.getConf().getAll())
        check_message(network.parameters, self._settings, self._cluster.nodes, self._context.master, conf)
        network.load(start.network)
        state = _State(dict(start.network), Moments.from_tensors(start.optimizer))
        progress = start.progress
        while not progress.finished:
            progress, state = self._epoch(network, progress, state)

    def _epoch(self, network: Network, progress: Progress, state: _State) -> tuple[Progress, _State]:
        began = time.monotonic() - progress.seconds
        total, steps = progress.sums[0] if progress.sums else (0.0, 0.0)
        rate = Rate(0.0)
        while progress.step < self._steps:
            rate, end = self._rate(progress), self._end_of_round(progress)
            losses, state = self._train(network, progress, end, rate, state)
            total, steps = total + float(losses.sum()), steps + len(losses)
            progress = replace(
                progress,
                step=end,
                global_step=progress.global_step + len(losses),
                sums=((total, steps),),
                seconds=time.monotonic() - began,
            )
            if end < self._steps and self._settings.checkpoint_every_steps:
                self._record.save(_checkpoint(progress, state))
        trained = time.monotonic() - began
        state = replace(state, network=self._forward.reestimate(state.network, progress.epoch))
        result = EpochResult(
            train_loss=total / steps,
            learning_rate=rate.first + rate.growth * (progress.step - 1),
            images=self._steps * self._settings.global_batch,
            train_seconds=trained,
            reached=self._forward.validate(state.network),
            seconds=time.monotonic() - began,
        )
        progress = close_epoch(progress, self._settings, result)
        self._record.save_epoch(_checkpoint(progress, state))
        return progress, state

    def _train(
        self, network: Network, progress: Progress, end: int, rate: Rate, state: _State
    ) -> tuple[NDArray[np.float64], _State]:
        began = time.monotonic()

        def tell(done: int, loss: float) -> None:
            if done > 0:
                place = replace(progress, step=progress.step + done)
                self._record.tell(place, loss, done / (time.monotonic() - began))

        steps = Steps(progress.epoch, progress.step, end, self._steps)
        samples = self._feed.samples(self._context, steps)
        moments, losses = self._run_round(network, samples, len(steps), rate, state.moments, tell)
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            raise DivergedError.in_step(progress.epoch, progress.step + int(wrong[0]), rate.first)
        return losses, _State(network.read(state.network), moments)

    def _rate(self, progress: Progress) -> Rate:
        """Returns the learning rate of the steps of the next round, over which it changes by a constant amount."""
        first, second = (
            schedule.learning_rate(
                self._settings.schedule,
                self._settings.learning_rate,
                progress.history,
                step,
                self._steps,
                self._settings.epochs,
            )
            for step in (progress.global_step, progress.global_step + 1)
        )
        return Rate(first, second - first) if progress.global_step < self._warmup_steps() else Rate(first)

    def _end_of_round(self, progress: Progress) -> int:
        """Returns the step of the epoch at which the next round ends.

        That is the end of the epoch, unless a checkpoint is due before it, the warm-up ends before it, or the images of
        so many steps would not fit into memory.
        """
        ends = [self._steps, progress.step + self._steps_per_round]
        every = self._settings.checkpoint_every_steps
        if every:
            ends.append(progress.step + every - progress.global_step % every)
        left = self._warmup_steps() - progress.global_step
        if left > 0:
            ends.append(progress.step + left)
        return min(ends)

    def _warmup_steps(self) -> int:
        return round(self._settings.schedule.warmup_epochs * self._steps)


def _checkpoint(progress: Progress, state: _State) -> Checkpoint:
    return Checkpoint(progress, state.network, state.moments.tensors() if state.moments else {})


def _images_per_round(context: SparkContext, spec: TrainingSpec) -> int:
    """Returns how many images each executor can hold at once, as float32 BGR."""
    managers = context._jsc.sc().env().blockManager().master().getMemoryStatus().toList()
    all_of_them = [managers.apply(i) for i in range(managers.size())]
    # The driver holds no images, except in local mode.
    executors = [one for one in all_of_them if not one._1().isDriver()] or all_of_them
    least = min(int(one._2()._1()) for one in executors)
    return max(1, math.floor(least * _MEMORY_FRACTION / (3 * 4 * spec.input_size**2)))
