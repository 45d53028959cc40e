"""Makes the optimiser that the settings name, and turns its state into tensors for a checkpoint and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from cxr_spark.config import TrainSettings
from cxr_spark.models.blocks import block_depths
from cxr_spark.models.compiler import import_compiler
from cxr_spark.models.head import head_name

#: The key of a group of parameters under which its learning rate stands, as a fraction of the head's.
_SCALE = "scale"


def decay_by_name(module: nn.Module, settings: TrainSettings) -> dict[str, float]:
    """Returns the weight decay of each trainable parameter, by its name.

    Biases and the parameters of normalisation layers (all that are one-dimensional) are not decayed: pulling the scale
    of a batch norm to zero is no regularisation.
    """
    head = f"{head_name(module)}."
    of_head = settings.weight_decay if settings.head_weight_decay is None else settings.head_weight_decay
    return {
        name: 0.0 if parameter.ndim <= 1 else of_head if name.startswith(head) else settings.weight_decay
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def make_optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Makes the optimiser of a network's trainable parameters.

    It has three groups: the body, the head, and all parameters that are not decayed. With `layer_decay` each of them is
    split by the depth of the blocks. `set_rate` sets the learning rates.
    """
    import_compiler()
    decays = decay_by_name(module, settings)
    head = f"{head_name(module)}."
    depths = block_depths(module) if settings.layer_decay < 1 else {}
    found: dict[tuple[int, int], dict[str, Any]] = {(kind, 0): {"params": [], _SCALE: 1.0} for kind in range(3)}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            kind, depth = 2 if parameter.ndim <= 1 else int(name.startswith(head)), depths.get(name, 0)
            group = found.setdefault((kind, depth), {"params": [], _SCALE: settings.layer_decay**depth})
            group["params"].append(parameter)
            group["weight_decay"] = decays[name]
    groups = list(found.values())
    rate = settings.learning_rate
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum)
    return torch.optim.RMSprop(groups, lr=rate, momentum=settings.momentum)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of the head, and those of all blocks by their depth.

    Args:
        optimizer: what `make_optimizer` returned.
        rate: the learning rate of the head.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group[_SCALE]


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Returns an optimiser's state as tensors named `POSITION.NAME`, parameters counted over all groups."""
    state = optimizer.state_dict()["state"]
    return {
        f"{position}.{name}": torch.as_tensor(value)
        for position, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Restores the state that `optimizer_state` returned."""
    if not tensors:
        return
    whole = optimizer.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        position, _, name = key.partition(".")
        # The same memory layout as the parameters have: mixed layouts would make every step slower.
        image_like = tensor.ndim == 4
        state.setdefault(int(position), {})[name] = (
            tensor.contiguous(memory_format=torch.channels_last) if image_like else tensor
        )
    whole["state"] = state
    optimizer.load_state_dict(whole)
