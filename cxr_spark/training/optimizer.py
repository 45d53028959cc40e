"""Optimisers by name."""

from __future__ import annotations

import torch
from torch import nn

from cxr_spark.config import TrainSettings


def make_optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Makes the optimiser of a network's trainable parameters.

    Weight decay spares biases and normalisation (one-dimensional parameters): to pull a batch norm's scale to zero is
    no regularisation.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = settings.learning_rate
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum)
    return torch.optim.RMSprop(groups, lr=rate, momentum=settings.momentum)
