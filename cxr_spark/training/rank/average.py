"""The exponential moving average of a network's weights, which often generalises better than the last weights do."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """A copy of a network whose numbers follow those of the network slowly.

    The statistics of batch norms are averaged as the weights are, so that they fit the averaged weights; the counters
    of batches are copied.

    Args:
        module: the network in training, on its device.
        decay: the largest fraction of the average that a step keeps, from 0 to 1.

    Attributes:
        module: the averaged network, which is validated and becomes the model.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._source, self._decay = module, decay
        self.module = copy.deepcopy(module).requires_grad_(False)

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Lets the average go on from a state of the network, or of an average."""
        self.module.load_state_dict(state)

    def update(self, step: int) -> None:
        """Takes the network's numbers after a step into the average.

        Args:
            step: number of steps done before this one, in all epochs.
        """
        decay = decay_of_step(self._decay, step)
        averaged, current = self.module.state_dict(), self._source.state_dict()
        smooth = [name for name, tensor in current.items() if tensor.is_floating_point()]
        with torch.no_grad():
            for name in current.keys() - set(smooth):
                averaged[name].copy_(current[name])
        update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        update([averaged[name] for name in smooth], [current[name] for name in smooth], step)


def decay_of_step(decay: float, step: int) -> float:
    """Returns the decay at a step: min(decay, (1 + step) / (10 + step)), as TensorFlow's moving averages have it.

    With the whole decay from the start, the average of a short training would be made of its initial weights.

    Args:
        decay: the largest decay.
        step: number of steps done before.
    """
    return min(decay, (1 + step) / (10 + step))
