"""Forward passes of torch, in tasks on the executors: for the statistics of batch norms, and for validation.

BigDL's own running statistics cannot be used: they differ between its replicas, and those of mkldnn begin at zero and
are wrong for the first sixty steps.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.augmentation.building import augment
from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models.architectures import batch_norms
from cxr_spark.models.device import choose, choose_to_score
from cxr_spark.models.freezing import freeze
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.training.rank.loss import Objective
from cxr_spark.training.rank.shards import Index, bounds, load_shard
from cxr_spark.training.rank.validation import Validation, measure, predict_logits
from cxr_spark.training.specification import TrainingSpec

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import SparkSession

State = Mapping[str, torch.Tensor]

#: Number of images in a forward pass.
_BATCH = 32


@dataclass(frozen=True)
class _Sent:
    """What the driver sends to every task.

    Attributes:
        spec_json: the specification of the training, as JSON.
        weights: Spark's broadcast of the network's state.
        index: Spark's broadcast of the index of the images.
        parts: the number of parts that the images are cut into, one for each task.
    """

    spec_json: str
    weights: Broadcast[bytes]
    index: Broadcast[Index]
    parts: int


class ForwardPasses:
    """Runs the network forward on the training and on the validation images.

    Args:
        spark: the Spark session.
        spec: the training.
        train: Spark's broadcast of the index of all training images.
        validation: Spark's broadcast of the index of all validation images.
        objective: the loss of the training.
    """

    def __init__(
        self, spark: SparkSession, spec: TrainingSpec, train: Broadcast[Index], validation: Broadcast[Index],
        objective: Objective,
    ) -> None:  # fmt: skip
        self._spark, self._spec, self._objective = spark, spec, objective
        self._train, self._validation = train, validation

    def reestimate(self, state: State, epoch: int) -> dict[str, torch.Tensor]:
        """Returns a network's state with the statistics of its trained batch norms estimated on the training images.

        Means and variances are averaged over batches that go through the network as in training, as
        `torch.optim.swa_utils.update_bn` does.

        Args:
            state: state of the network.
            epoch: number of the epoch whose augmentations are drawn.
        """
        found = self._run(functools.partial(_statistics, epoch=epoch), state, self._train, "batch norms' statistics")
        batches = sum(count for count, _ in found)
        result = dict(state)
        for name in found[0][1] if batches else ():
            mean = sum(part[name].double() * count for count, part in found if count) / batches
            result[name] = torch.as_tensor(mean).to(state[name].dtype)
        return result

    def validate(self, state: State) -> Validation:
        """Returns the metrics of a network on the validation images."""
        index = self._validation.value
        if not len(index):
            return Validation(None, None, None, None)
        logits = np.concatenate(self._run(_logits, state, self._validation, "validation"))
        return measure(index.labels, logits, self._objective)

    def _run(self, function, state: State, index: Broadcast[Index], doing: str):  # type: ignore[no-untyped-def]
        context = self._spark.sparkContext
        scala = context._jsc.sc()
        places = int(scala.maxNumConcurrentTasks(scala.resourceProfileManager().defaultResourceProfile()))
        parts = max(1, min(places, len(index.value)))
        weights = context.broadcast(tensor_files.to_bytes(state))
        try:
            sent = _Sent(self._spec.model_dump_json(), weights, index, parts)
            return run_parts(
                self._spark, range(parts), functools.partial(_on_executor, sent=sent, function=function), doing
            )
        finally:
            weights.destroy()


def _on_executor(parts: Iterable[int], sent: _Sent, function) -> Iterator[object]:  # type: ignore[no-untyped-def]
    spec = TrainingSpec.model_validate_json(sent.spec_json)
    module = spec.empty_network()
    tensors, _ = tensor_files.from_bytes(sent.weights.value, "the broadcast network")
    module.load_state_dict(tensors, assign=True)
    freeze(module, spec.model.freeze)
    for part in parts:
        yield function(spec, module, sent.index.value, bounds(len(sent.index.value), part, sent.parts))


def _logits(spec: TrainingSpec, module: nn.Module, index: Index, block: tuple[int, int]) -> NDArray[np.float32]:
    compute = choose_to_score(spec.train.precision)
    shard = load_shard(spec.dataset(), index, *block, spec.held_size)
    return predict_logits(
        compute.place(module), shard.pixels, compute, spec.augmentations(), _BATCH, shard.labels.shape[1]
    )


@torch.inference_mode()
def _statistics(
    spec: TrainingSpec, module: nn.Module, index: Index, block: tuple[int, int], epoch: int
) -> tuple[int, dict[str, torch.Tensor]]:
    """Returns the number of batches, and the mean and variance of each trained batch norm's input over them."""
    compute = choose(spec.train.precision)
    trained = {
        name: m for name, m in module.named_modules() if m in set(batch_norms(module)) and m.weight.requires_grad
    }
    module.eval()
    for norm in trained.values():
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for the plain average over all batches
    compute.place(module)
    shard, augmentations = load_shard(spec.dataset(), index, *block, spec.held_size), spec.augmentations()
    order = np.random.default_rng([spec.train.seed, epoch]).permutation(len(shard))
    batches = np.array_split(order, max(1, round(len(order) / _BATCH))) if trained and len(order) > 1 else []
    for chosen in batches:
        pixels = torch.from_numpy(shard.pixels[chosen]).to(compute.device)
        pixels = augment(pixels, augmentations, shard.keys[chosen], spec.train.seed, epoch)
        with compute.autocast():
            module(imagenet_bgr(pixels, torch.channels_last))
    found = {f"{name}.{kind}": getattr(norm, kind) for name, norm in trained.items() for kind in _KINDS}
    return len(batches), {name: tensor.cpu().clone() for name, tensor in found.items()}


_KINDS = ("running_mean", "running_var")
