"""Training images on their way into BigDL: each node reads its own block and makes samples of what the steps need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from cxr_spark.augmentation.building import augment
from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.bigdl.objective import targets
from cxr_spark.bigdl.session import quiet
from cxr_spark.training.rank.sampler import draw_chances, epoch_order
from cxr_spark.training.rank.shards import Index, bounds, load_shard
from cxr_spark.training.specification import TrainingSpec

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkContext

#: Images augmented at once.
_CHUNK = 64


@dataclass(frozen=True)
class Steps:
    """Consecutive steps of one epoch.

    Attributes:
        epoch: from 0.
        first: of the steps, from 0.
        end: one past the last of them.
        of_epoch: steps of the whole epoch.
    """

    epoch: int
    first: int
    end: int
    of_epoch: int

    def __len__(self) -> int:
        return self.end - self.first


@dataclass(frozen=True)
class Feed:
    """Makes samples; it travels to the executors.

    Attributes:
        spec_json: the training, as JSON.
        index: all training images.
        weights: of the loss, float32 (K,); None for 1.
        terms: that the loss of a replica's batch is the mean of.
        nodes: how many share the images.
    """

    spec_json: str
    index: Broadcast[Index]
    weights: NDArray[np.float32] | None
    terms: float
    nodes: int

    def samples(self, context: SparkContext, steps: Steps) -> Any:
        """Returns an RDD of BigDL samples: one partition a node, with its part of the batches of some steps."""

        def of_node(parts: Iterable[int]) -> Iterator[Any]:
            for node in parts:
                yield from self._of_node(node, steps)

        return context.parallelize(range(self.nodes), self.nodes).mapPartitions(of_node)

    def _of_node(self, node: int, steps: Steps) -> Iterator[Any]:
        with quiet():
            from bigdl.dllib.utils.common import JTensor, Sample

        spec, index = TrainingSpec.model_validate_json(self.spec_json), self.index.value
        settings, augmentations = spec.train, spec.augmentations()
        start, end = bounds(len(index), node, self.nodes)
        shard = load_shard(spec.dataset(), index, start, end, spec.held_size)
        batch = settings.global_batch // self.nodes
        order = epoch_order(
            len(shard),
            steps.of_epoch * batch,
            seed=settings.seed,
            epoch=steps.epoch,
            worker=node,
            chances=draw_chances(index.labels, start, end) if settings.balancing == "upsample" else None,
        )[steps.first * batch : steps.end * batch]
        for first in range(0, len(order), _CHUNK):
            chosen = order[first : first + _CHUNK]
            pixels = torch.from_numpy(shard.pixels[chosen])
            pixels = augment(pixels, augmentations, shard.keys[chosen], settings.seed, steps.epoch)
            made = targets(spec.model.task, shard.labels[chosen], self.weights, self.terms)
            for image, target in zip(imagenet_bgr(pixels).numpy(), made, strict=True):
                yield Sample([JTensor.from_ndarray(image)], [JTensor.from_ndarray(target)])
