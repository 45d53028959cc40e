"""Feeds training images to BigDL: each node reads the images for its part of the steps and makes samples of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from cxr_spark.augmentation.building import augment
from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.bigdl.engine.session import quiet
from cxr_spark.bigdl.model.objective import targets
from cxr_spark.training.rank.sampler import Sampler
from cxr_spark.training.rank.shards import Index, load_images
from cxr_spark.training.specification import TrainingSpec

if TYPE_CHECKING:
    from pyspark import Broadcast, SparkContext

#: Number of images that are augmented at once.
_CHUNK = 64


@dataclass(frozen=True)
class Steps:
    """Consecutive steps of one epoch.

    Attributes:
        epoch: number of the epoch, from 0.
        first: number of the first step in the epoch, from 0.
        end: one past the number of the last step.
        of_epoch: number of steps of the whole epoch.
    """

    epoch: int
    first: int
    end: int
    of_epoch: int

    def __len__(self) -> int:
        return self.end - self.first


@dataclass(frozen=True)
class Feed:
    """Makes samples on the executors, to which it is sent.

    Attributes:
        spec_json: the training, as JSON.
        index: Spark's broadcast of the index of all training images.
        weights: float32 (K,), class weights of the loss; None for weights of 1.
        terms: number of terms that the loss of a replica's batch is the mean of.
        nodes: number of nodes among which each batch is divided.
    """

    spec_json: str
    index: Broadcast[Index]
    weights: NDArray[np.float32] | None
    terms: float
    nodes: int

    def samples(self, context: SparkContext, steps: Steps) -> Any:
        """Returns an RDD of BigDL samples with one partition for each node: its part of the batches of some steps."""

        def of_node(parts: Iterable[int]) -> Iterator[Any]:
            for node in parts:
                yield from self._of_node(node, steps)

        return context.parallelize(range(self.nodes), self.nodes).mapPartitions(of_node)

    def _of_node(self, node: int, steps: Steps) -> Iterator[Any]:
        with quiet():
            from bigdl.dllib.utils.common import JTensor, Sample

        spec, index = TrainingSpec.model_validate_json(self.spec_json), self.index.value
        settings, augmentations = spec.train, spec.augmentations()
        batch = settings.global_batch // self.nodes
        sampler = Sampler(settings, index.labels, node, self.nodes)
        images = sampler.images(steps.epoch)[steps.first * batch : steps.end * batch]
        held, order = np.unique(images, return_inverse=True)
        shard = load_images(spec.dataset(), index, held, spec.held_size)
        for first in range(0, len(order), _CHUNK):
            chosen = order[first : first + _CHUNK]
            pixels = torch.from_numpy(shard.pixels[chosen])
            pixels = augment(pixels, augmentations, shard.keys[chosen], settings.seed, steps.epoch)
            made = targets(spec.model.task, shard.labels[chosen], self.weights, self.terms)
            for image, target in zip(imagenet_bgr(pixels).numpy(), made, strict=True):
                yield Sample([JTensor.from_ndarray(image)], [JTensor.from_ndarray(target)])
