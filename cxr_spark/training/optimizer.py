"""Optimisers by name."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from cxr_spark.config import TrainSettings
from cxr_spark.models.head import head_name


def make_optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Makes the optimiser of a network's trainable parameters: its body, its head, and what is not decayed.

    Weight decay spares biases and normalisation (one-dimensional parameters): to pull a batch norm's scale to zero is
    no regularisation.
    """
    head = {id(p) for p in module.get_submodule(head_name(module)).parameters()}
    decay_of_head = settings.weight_decay if settings.head_weight_decay is None else settings.head_weight_decay
    groups: list[dict[str, Any]] = [
        {"params": [], "weight_decay": decay} for decay in (settings.weight_decay, decay_of_head, 0.0)
    ]
    for parameter in module.parameters():
        if parameter.requires_grad:
            place = 2 if parameter.ndim <= 1 else int(id(parameter) in head)
            groups[place]["params"].append(parameter)
    rate = settings.learning_rate
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum)
    return torch.optim.RMSprop(groups, lr=rate, momentum=settings.momentum)
