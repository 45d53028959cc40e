"""Losses of one finding in which labels that are easy to predict count less: focal and asymmetric.

Both multiply the cross-entropy of a label by a power of the probability of the wrong answer. With p the sigmoid of a
logit, a positive label costs (1 - p)^a * -log(p), and a negative one q^b * -log(1 - q), where q = max(p - m, 0):

- focal loss (Lin et al., "Focal Loss for Dense Object Detection", 2017): a = b and m = 0;
- asymmetric loss (Ridnik et al., "Asymmetric Loss For Multi-Label Classification", 2021): a < b and a margin m, so that
  negatives with a probability below m cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

from cxr_spark.config import TrainSettings


@dataclass(frozen=True)
class Focus:
    """The two powers and the margin.

    Attributes:
        positive: the power of positive labels (a), 0 or more.
        negative: the power of negative labels (b), 0 or more.
        margin: the number that is subtracted from the probabilities of negative labels (m), from 0 to less than 1.
    """

    positive: float
    negative: float
    margin: float = 0.0

    @classmethod
    def of(cls, settings: TrainSettings) -> Focus | None:
        """Returns the focus that the settings name; None for plain cross-entropy."""
        if settings.loss == "focal":
            return cls(settings.focal_gamma, settings.focal_gamma)
        if settings.loss == "asymmetric":
            chosen = settings.asymmetric
            return cls(chosen.gamma_positive, chosen.gamma_negative, chosen.margin)
        return None

    def costs(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the loss of each logit, if its label is positive and if it is negative.

        Powers of probabilities are computed from their logarithms, so that values and gradients are finite for every
        finite logit.

        Args:
            logits: a tensor of any shape and floating dtype.

        Returns:
            Two tensors like `logits`.
        """
        log_p, log_1_p = logsigmoid(logits), logsigmoid(-logits)
        positive = torch.exp(self.positive * log_1_p) * -log_p
        if self.margin == 0:
            return positive, torch.exp(self.negative * log_p) * -log_1_p
        shifted = torch.sigmoid(logits) - self.margin
        counts = shifted > 0
        # A power below 1 has no finite slope at 0, so those that cost nothing are computed at another place.
        q = torch.where(counts, shifted, torch.full_like(shifted, 0.5))
        negative = q**self.negative * -torch.log1p(-q)
        return positive, torch.where(counts, negative, torch.zeros_like(negative))
