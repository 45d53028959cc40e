"""What is minimised: cross-entropy over the labels that are known, by sigmoids or by one softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Task = Literal["multi_label", "single_label"]


@dataclass(frozen=True)
class Objective:
    """The loss of a task.

    Attributes:
        task: `multi_label`: a sigmoid for each finding; `single_label`: one softmax over all classes.
        weights: float32 (K,): what a positive label weighs (`multi_label`), or an image of the class (`single_label`);
            None for 1.
    """

    task: Task
    weights: torch.Tensor | None = None

    def summed(self, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums the cross-entropy of a batch.

        Args:
            logits: float32 (N, K).
            labels: float32 (N, K); NaN where not known. With `single_label` one 1 a row.

        Returns:
            The sum, and how many terms it has, float32 scalars: known labels, or images whose class is known.
        """
        known = ~torch.isnan(labels)
        target = torch.where(known, labels, torch.zeros_like(labels))
        if self.task == "multi_label":
            each = functional.binary_cross_entropy_with_logits(
                logits, target, pos_weight=self.weights, reduction="none"
            )
        else:
            known = known.all(dim=1)
            weighted = target if self.weights is None else target * self.weights
            each = -(weighted * functional.log_softmax(logits, dim=1)).sum(dim=1)
        return torch.where(known, each, torch.zeros_like(each)).sum(), known.sum().float()

    def mean(self, labels: NDArray[np.float32], logits: NDArray[np.float32]) -> float | None:
        """Returns the mean cross-entropy of all images, in double precision and not weighted; None of none."""
        plain = Objective(self.task)
        total, terms = plain.summed(torch.from_numpy(logits).double(), torch.from_numpy(labels).double())
        return float(total / terms) if terms else None

    def accuracy(self, labels: NDArray[np.float32], logits: NDArray[np.float32]) -> float | None:
        """Returns the part of known labels (or images) that the rounded probabilities get right; None of none."""
        if self.task == "single_label":
            rows = ~np.isnan(labels).any(axis=1)
            right = logits[rows].argmax(axis=1) == labels[rows].argmax(axis=1)
        else:
            known = ~np.isnan(labels)
            right = (logits[known] >= 0) == (labels[known] == 1)
        return float(right.mean()) if right.size else None
