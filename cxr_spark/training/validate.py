"""Loss and AUCs on the validation images, the work shared by all ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.errors import DivergedError
from cxr_spark.evaluation.auc import macro_micro_auc
from cxr_spark.stages.augmentation import without_draws
from cxr_spark.stages.batch_augmentation import BatchAugmentation
from cxr_spark.stages.kernels import imagenet_bgr
from cxr_spark.training.device import Compute
from cxr_spark.training.ranks import Ranks
from cxr_spark.training.shares import Share


@dataclass(frozen=True)
class Validation:
    """What a network reaches on the validation images.

    Attributes:
        loss: mean cross-entropy over the known labels, positives not weighted; None where there is none.
        macro_auc: mean of the findings' AUCs, of those that have both classes; None where none has.
        micro_auc: AUC of all known (image, finding) pairs; None where there is one class only.
    """

    loss: float | None
    macro_auc: float | None
    micro_auc: float | None


def validate(
    module: nn.Module,
    share: Share,
    ranks: Ranks,
    compute: Compute,
    augmentations: list[BatchAugmentation],
    batch: int,
) -> Validation:
    """Validates a network; every rank gets the same result.

    Args:
        module: the network, the same on all ranks.
        share: this rank's images; may be empty.
        ranks: the group.
        compute: how to compute.
        augmentations: what training uses; here what is deterministic of it.
        batch: images a forward pass.
    """
    logits = ranks.gather_rows(
        predict_logits(module, share.pixels, compute, augmentations, batch, share.labels.shape[1])
    )
    labels = ranks.gather_rows(share.labels)
    return measure(labels, logits)


@torch.inference_mode()
def predict_logits(
    module: nn.Module,
    pixels: NDArray[np.uint8],
    compute: Compute,
    augmentations: list[BatchAugmentation],
    batch: int,
    n_outputs: int,
) -> NDArray[np.float32]:
    """Returns the logits, float32 (N, n_outputs), of images uint8 (N, S, S)."""
    module.eval()
    results = [np.empty((0, n_outputs), np.float32)]
    for start in range(0, len(pixels), batch):
        images = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch])).to(compute.device)
        images = without_draws(images, augmentations)
        with compute.autocast():
            output = module(imagenet_bgr(images, torch.channels_last))
        results.append(output.float().cpu().numpy())
    return np.concatenate(results)


def measure(labels: NDArray[np.float32], logits: NDArray[np.float32]) -> Validation:
    """Computes loss and AUCs.

    Args:
        labels: float32 (N, K); NaN where not known.
        logits: float32 (N, K).

    Raises:
        DivergedError: a logit is not finite.
    """
    if not np.isfinite(logits).all():
        raise DivergedError(
            "the network's outputs on the validation images are not finite: lower train.learning_rate, or set "
            "train.precision=fp32"
        )
    known = ~np.isnan(labels)
    z, y = logits[known].astype(np.float64), labels[known].astype(np.float64)
    # -[y log p + (1 - y) log(1 - p)] with p = sigmoid(z), in the form that neither overflows nor loses digits.
    loss = float(np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))))) if len(z) else None
    return Validation(loss, *macro_micro_auc(logits, labels))
