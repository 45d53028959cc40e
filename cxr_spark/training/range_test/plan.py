"""The rates that a range test tries, and what follows from the losses: no state, no training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

#: The first and the last rate, as torch-lr-finder and fastai have them for Adam and SGD alike.
_LOWEST, _HIGHEST = 1e-7, 1.0
#: The weight of the past in the smoothed loss.
_SMOOTHING = 0.9
#: A smoothed loss of so many times the lowest one has diverged (as in fastai's range test).
_DIVERGED = 4.0
#: The largest part of the loss at the beginning that counts as a lower loss.
_FALLEN = 0.99


class RangePlan(BaseModel):
    """The plan of a range test: the learning rate grows by the same factor from step to step (Smith 2017).

    Attributes:
        steps: the number of steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=10, le=100_000)

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step, counted from 0."""
        return _LOWEST * math.pow(_HIGHEST / _LOWEST, step / (self.steps - 1))


class TriedRate(BaseModel):
    """One step of a range test.

    Attributes:
        learning_rate: the rate of the step.
        loss: mean loss of the step's images before the weights change, as float64 over all ranks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learning_rate: float
    loss: float


def smoothed(losses: Sequence[float]) -> list[float]:
    """Returns the moving average of losses, each weighted 0.9 times the next, divided by the sum of the weights.

    >>> [round(loss, 3) for loss in smoothed([1.0, 1.0, 2.0])]
    [1.0, 1.0, 1.369]
    """
    found: list[float] = []
    mean = 0.0
    for count, loss in enumerate(losses, start=1):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        found.append(mean / (1 - _SMOOTHING**count))
    return found


def has_diverged(losses: Sequence[float], plan: RangePlan) -> bool:
    """Returns whether the smoothed loss tells that no higher rate need be tried.

    In the first tenth of the plan it never does: there the average is of few steps, and the rates change nothing.
    """
    curve = smoothed(losses)
    return len(curve) > plan.steps // 10 and curve[-1] > _DIVERGED * min(curve)


def centred(losses: Sequence[float]) -> list[float]:
    """Returns the mean of the average over what came before and of that over what came after, without a delay."""
    before, after = smoothed(losses), smoothed(losses[::-1])[::-1]
    return [(one + other) / 2 for one, other in zip(before, after, strict=True)]


def steepest_place(tried: Sequence[TriedRate]) -> int | None:
    """Returns the place of the step at which the loss falls fastest; None where no rate made the loss fall.

    From step to step the rate grows by the same factor, so that this is the steepest descent over the logarithm of the
    rate (fastai's suggestion by the steepest slope), here measured over a tenth of the steps, since single batches are
    noisy. In the first tenth rates are too low to change anything. A loss counts as fallen where it is at least a
    hundredth lower than after these steps.
    """
    curve = centred([step.loss for step in tried])
    first, around = len(curve) // 10, max(1, len(curve) // 20)
    lowest = min(range(first, len(curve)), key=curve.__getitem__, default=0)
    if lowest <= first or curve[lowest] >= _FALLEN * curve[first]:
        return None

    def fall(place: int) -> float:
        return curve[max(place - around, 0)] - curve[min(place + around, len(curve) - 1)]

    return max(range(first, lowest + 1), key=fall)
