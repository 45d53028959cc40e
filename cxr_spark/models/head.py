"""The classifier head: the last layers of every network, always computed in float32."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Head(nn.Sequential):
    """Fully connected layers that end in one logit per output, in float32 even under autocast.

    Logits rounded to bfloat16 take only a few hundred distinct values; the ties that this makes shift an AUC by up to
    1e-4, for no gain in speed: the head is a fraction of a percent of the work.
    """

    def __init__(self, in_features: int, n_outputs: int, *, hidden: Sequence[int] = (), dropout: float = 0.0) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, width in enumerate(hidden):
            if dropout > 0:
                layers[f"dropout{i}"] = nn.Dropout(dropout)
            layers[f"hidden{i}"] = nn.Linear(in_features, width)
            layers[f"relu{i}"] = nn.ReLU()
            in_features = width
        if dropout > 0:
            layers["dropout"] = nn.Dropout(dropout)
        layers["output"] = nn.Linear(in_features, n_outputs)
        super().__init__(layers)

    def forward(self, features: Tensor) -> Tensor:
        """Maps features (N, in_features), or (N, in_features, 1, 1), of any floating dtype to float32 logits."""
        with torch.autocast(device_type=features.device.type, enabled=False):
            values = (features.flatten(1) if features.ndim == 4 else features).float()
            for layer in self:
                values = layer(values)
        return values


def head_name(module: nn.Module) -> str:
    """Returns the dotted name of the head inside a network (a wrapper's prefix included).

    Raises:
        ValueError: the network was not made by `cxr_spark.models.architectures.build`.
    """
    for name, child in module.named_modules():
        if isinstance(child, Head):
            return str(name)
    raise ValueError("the module has no Head: make it with cxr_spark.models.architectures.build")
