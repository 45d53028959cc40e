"""Refuses, before a job starts, what BigDL cannot do; the message says which setting to use instead."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cxr_spark.bigdl.engine.methods import MOMENTS
from cxr_spark.bigdl.engine.session import Cluster
from cxr_spark.bigdl.model.graph import BUILDERS
from cxr_spark.config import Settings, TrainSettings
from cxr_spark.errors import ConfigError

#: Smallest sides of images for which BigDL's pooling works, where torch's takes smaller ones.
_LEAST_SIDES = {"googlenet": 33}
_LARGE = 2**31


def check_settings(settings: Settings) -> None:
    """Checks the sections `model` and `train`.

    Raises:
        ConfigError: BigDL cannot do what some settings ask for; the message names all of them.
    """
    problems = _problems(settings)
    if problems:
        raise ConfigError(f"train.backend=bigdl: {'; '.join(problems)}; or use train.backend=torch")


def check_batch(train: TrainSettings, cluster: Cluster) -> None:
    """Checks that a batch can be cut into equal parts.

    Raises:
        ConfigError: the batch cannot be cut so.
    """
    shares = cluster.nodes * cluster.replicas
    if train.global_batch % shares:
        low = train.global_batch // shares * shares
        raise ConfigError(
            f"train.global_batch {train.global_batch} does not divide by the {shares} copies of the network that BigDL "
            f"trains ({cluster.nodes} executors with {cluster.replicas} each): use "
            + (f"{low} or {low + shares}" if low else f"{shares}")
        )


def check_message(parameters: int, train: TrainSettings, nodes: int, master: str, conf: Mapping[str, str]) -> None:
    """Checks that the optimiser's state can be sent to the executors.

    Args:
        parameters: number of the network's parameters.
        train: how to train; the optimiser decides how large its state is.
        nodes: number of executors; each of them gets its part.
        master: Spark's master; in local mode nothing is sent.
        conf: Spark's settings.

    Raises:
        ConfigError: Spark would refuse a message of that size.
    """
    limit = int(conf.get("spark.rpc.message.maxSize", "128"))
    vectors = len(MOMENTS[train.optimizer]) + (train.optimizer == "adam")
    needed = math.ceil(vectors * parameters * 4 / nodes / 2**20 * 1.1)
    if not master.startswith("local") and needed > limit:
        raise ConfigError(
            f"spark.rpc.message.maxSize is {limit} MiB, and each of {nodes} executors is sent {needed} MiB of the "
            f"optimiser's state: give --conf spark.rpc.message.maxSize={needed}, or train on more executors"
        )


def _problems(settings: Settings) -> list[str]:
    model, train = settings.model, settings.train
    found = []
    if model.architecture not in BUILDERS:
        found.append(f"model.architecture={model.architecture} is not built in BigDL: use one of {', '.join(BUILDERS)}")
    elif (model.input_size or _LARGE) < (least := _LEAST_SIDES.get(model.architecture, 0)):
        found.append(
            f"model.input_size={model.input_size} is too small for its {model.architecture}: use {least} or more"
        )
    if train.optimizer not in MOMENTS:
        found.append(f"train.optimizer={train.optimizer} is not there: use {' or '.join(MOMENTS)}")
    if train.accumulate > 1:
        found.append(f"train.accumulate={train.accumulate}: it adds up no gradients over parts: leave it at 1")
    if train.loss != "bce":
        found.append(f"train.loss={train.loss} is not there: use bce")
    if train.label_smoothing:
        found.append(f"train.label_smoothing={train.label_smoothing:g}: its labels are not smoothed: leave it at 0")
    if train.clip_norm:
        found.append(f"train.clip_norm={train.clip_norm:g}: its gradients are not clipped: leave it at 0")
    if train.ema_decay:
        found.append(f"train.ema_decay={train.ema_decay:g}: it keeps no average of the weights: leave it at 0")
    if train.soft_labels:
        found.append(f"train.soft_labels={train.soft_labels}: it learns the labels alone: leave it unset")
    if train.mixup:
        found.append(f"train.mixup={train.mixup:g}: its images are not blended: leave it at 0")
    if train.layer_decay < 1:
        found.append(f"train.layer_decay={train.layer_decay:g}: it has one learning rate: leave it at 1")
    if model.stochastic_depth is not None:
        found.append(f"model.stochastic_depth={model.stochastic_depth:g}: it leaves out no blocks: leave it unset")
    if train.mlflow.uri:
        found.append("train.mlflow is not tried with it: leave it out")
    if train.precision == "bf16":
        found.append("train.precision=bf16: it computes in float32 only: use auto or fp32")
    if train.workers > 1:
        found.append(
            f"train.workers={train.workers}: it trains on all executors that Spark has: leave it at 1, and say how "
            "many by spark.executor.instances or spark.cores.max"
        )
    if train.threads_per_worker:
        found.append(
            f"train.threads_per_worker={train.threads_per_worker}: it uses the cores of its executors: leave it unset, "
            "and set spark.executor.cores"
        )
    if train.schedule.kind in ("cosine", "one_cycle"):
        kind = train.schedule.kind
        found.append(f"train.schedule.kind={kind} changes the rate with every step: use plateau or constant")
    if train.schedule.warmup_epochs and train.optimizer == "adam":
        found.append("train.schedule.warmup_epochs is for train.optimizer=sgd only: set it to 0, or use sgd")
    if train.bigdl_engine == "mkldnn" and model.freeze != "none":
        found.append(f"model.freeze={model.freeze} has no effect under mkldnn: use train.bigdl_engine=mklblas")
    return found
