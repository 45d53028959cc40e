"""Loss, accuracy and AUCs on the validation images. Every rank computes the outputs of its own images."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.augmentation.building import without_draws
from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.augmentation.kinds import BatchAugmentation
from cxr_spark.errors import DivergedError
from cxr_spark.evaluation.counting.auc import macro_micro_auc
from cxr_spark.models.device import Compute
from cxr_spark.models.exact_input import compute_first_layer_in_float32
from cxr_spark.models.fusing import fuse_batch_norms
from cxr_spark.scoring.predict import activate
from cxr_spark.training.rank.loss import Objective
from cxr_spark.training.rank.process_group import ProcessGroup
from cxr_spark.training.rank.shards import Shard


@dataclass(frozen=True)
class Validation:
    """The metrics of a network on the validation images.

    Attributes:
        loss: mean cross-entropy over the known labels, without class weights; None where no label is known.
        accuracy: fraction of the known labels (with `single_label`: of the images) that the network gets right; None
            where no label is known.
        macro_auc: mean of the AUCs of all findings that have both classes; None where no finding has both.
        micro_auc: AUC of all known (image, finding) pairs; None where they are of one class only.
    """

    loss: float | None
    accuracy: float | None
    macro_auc: float | None
    micro_auc: float | None


def validate(
    module: nn.Module,
    shard: Shard,
    group: ProcessGroup,
    compute: Compute,
    augmentations: list[BatchAugmentation],
    objective: Objective,
    batch: int,
) -> Validation:
    """Validates a network; every rank gets the same result.

    Args:
        module: the network, the same on all ranks; it is left as it is.
        shard: this rank's images; it may be empty.
        group: the process group.
        compute: device and precision of the validation.
        augmentations: the augmentations of the training; only the deterministic ones are applied.
        objective: the loss of the training.
        batch: number of images in a forward pass.
    """
    logits = group.gather_rows(
        predict_logits(module, shard.pixels, compute, augmentations, batch, shard.labels.shape[1])
    )
    labels = group.gather_rows(shard.labels)
    return measure(labels, logits, objective)


@torch.inference_mode()
def predict_logits(
    module: nn.Module,
    pixels: NDArray[np.uint8],
    compute: Compute,
    augmentations: list[BatchAugmentation],
    batch: int,
    n_outputs: int,
) -> NDArray[np.float32]:
    """Returns the logits, float32 (N, n_outputs), of images uint8 (N, S, S), computed as the score job does."""
    network = fuse_batch_norms(copy.deepcopy(module).eval())
    if compute.bf16:
        compute_first_layer_in_float32(network)
    results = [np.empty((0, n_outputs), np.float32)]
    for start in range(0, len(pixels), batch):
        images = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch])).to(compute.device)
        images = without_draws(images, augmentations)
        with compute.autocast():
            output = network(imagenet_bgr(images, torch.channels_last))
        results.append(output.float().cpu().numpy())
    return np.concatenate(results)


def measure(labels: NDArray[np.float32], logits: NDArray[np.float32], objective: Objective) -> Validation:
    """Computes loss, accuracy and AUCs.

    Args:
        labels: float32 (N, K); NaN where a label is not known.
        logits: float32 (N, K).
        objective: the loss of the training.

    Raises:
        DivergedError: a logit is not finite.
    """
    if not np.isfinite(logits).all():
        raise DivergedError(
            "the network's outputs on the validation images are not finite: lower train.learning_rate, or set "
            "train.precision=fp32"
        )
    # AUCs are those of the float32 probabilities that the score job writes: large logits are ties among these.
    macro, micro = macro_micro_auc(activate(torch.from_numpy(logits), objective.task).numpy(), labels)
    return Validation(objective.mean(labels, logits), objective.accuracy(labels, logits), macro, micro)
