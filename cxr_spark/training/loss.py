"""Binary cross-entropy on logits over the labels that are known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

#: A finding with very few positives would otherwise outweigh all others in every batch that holds one.
MAX_POSITIVE_WEIGHT = 20.0


def positive_weights(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns what a positive label weighs so that positives and negatives of a finding weigh the same in all.

    Args:
        labels: (N, K); NaN where not known.

    Returns:
        float32 (K,): negatives / positives, at most `MAX_POSITIVE_WEIGHT`; 1 for a finding with one class only.
    """
    positive = np.nansum(labels == 1, axis=0).astype(np.float64)
    negative = np.nansum(labels == 0, axis=0).astype(np.float64)
    both = (positive > 0) & (negative > 0)
    ratio = np.divide(negative, positive, out=np.ones_like(positive), where=both)
    weights: NDArray[np.float32] = np.minimum(ratio, MAX_POSITIVE_WEIGHT).astype(np.float32)
    return weights


def summed_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums the cross-entropy over all known labels of a batch.

    Args:
        logits: float32 (N, K).
        labels: float32 (N, K); NaN where not known.
        weights: float32 (K,), what positives weigh; None for 1.

    Returns:
        The sum, and how many labels it is over: float32 scalars.
    """
    known = ~torch.isnan(labels)
    target = torch.where(known, labels, torch.zeros_like(labels))
    each = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weights, reduction="none")
    return torch.where(known, each, torch.zeros_like(each)).sum(), known.sum().float()
