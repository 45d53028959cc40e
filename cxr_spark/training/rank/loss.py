"""The loss: cross-entropy over the labels that are known, with a sigmoid for each finding or one softmax over all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cxr_spark.training.rank.focus import Focus

Task = Literal["multi_label", "single_label"]


@dataclass(frozen=True)
class Objective:
    """The loss of a task.

    Attributes:
        task: `multi_label` has a sigmoid for each finding, `single_label` one softmax over all classes.
        weights: float32 (K,), the weight of a positive label (`multi_label`) or of an image of the class
            (`single_label`); None for a weight of 1.
        smoothing: the fraction of every label that is spread evenly over all answers, from 0 to less than 1.
        focus: what replaces the cross-entropy of a finding, with `multi_label`; None for plain cross-entropy.
    """

    task: Task
    weights: torch.Tensor | None = None
    smoothing: float = 0.0
    focus: Focus | None = None

    def terms(self, labels: torch.Tensor) -> torch.Tensor:
        """Counts the terms of the loss: known labels, or images whose class is known.

        Args:
            labels: float32 (N, K); NaN where a label is not known.

        Returns:
            A float32 scalar.
        """
        return self._known(labels).sum().float()

    def summed(self, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums the loss of a batch.

        The loss of a smoothed label is the mean of the losses of its answers, weighted by the fractions of the label.

        Args:
            logits: float32 (N, K).
            labels: float32 (N, K); NaN where a label is not known. With `single_label` each row has one 1.

        Returns:
            The sum and its number of terms (known labels, or images whose class is known), both float32 scalars.
        """
        target = torch.where(torch.isnan(labels), torch.zeros_like(labels), labels)
        if self.smoothing:
            answers = 2 if self.task == "multi_label" else labels.shape[1]
            target = target * (1 - self.smoothing) + self.smoothing / answers
        if self.task == "multi_label" and self.focus:
            positive, negative = self.focus.costs(logits)
            weighted = target if self.weights is None else target * self.weights
            each = weighted * positive + (1 - target) * negative
        elif self.task == "multi_label":
            each = functional.binary_cross_entropy_with_logits(
                logits, target, pos_weight=self.weights, reduction="none"
            )
        else:
            weighted = target if self.weights is None else target * self.weights
            each = -(weighted * functional.log_softmax(logits, dim=1)).sum(dim=1)
        known = self._known(labels)
        return torch.where(known, each, torch.zeros_like(each)).sum(), known.sum().float()

    def _known(self, labels: torch.Tensor) -> torch.Tensor:
        known = ~torch.isnan(labels)
        return known if self.task == "multi_label" else known.all(dim=1)

    def mean(self, labels: NDArray[np.float32], logits: NDArray[np.float32]) -> float | None:
        """Returns the mean cross-entropy in double precision; None where no label is known.

        It has no weights, no smoothing and no focus, so that trainings with different losses can be compared.
        """
        plain = Objective(self.task)
        total, terms = plain.summed(torch.from_numpy(logits).double(), torch.from_numpy(labels).double())
        return float(total / terms) if terms else None

    def accuracy(self, labels: NDArray[np.float32], logits: NDArray[np.float32]) -> float | None:
        """Returns the fraction of the known labels (or images) predicted right; None where no label is known."""
        if self.task == "single_label":
            rows = ~np.isnan(labels).any(axis=1)
            right = logits[rows].argmax(axis=1) == labels[rows].argmax(axis=1)
        else:
            known = ~np.isnan(labels)
            right = (logits[known] >= 0) == (labels[known] == 1)
        return float(right.mean()) if right.size else None
