"""BigDL's optimisers, with moments that are kept from one round to the next.

Each node updates its own slice of the parameter vector, with an optimiser object of its own that holds the moments of
that slice. BigDL drops them at the end of a round; here they are read, kept, and given to the next round.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cxr_spark.bigdl.engine.jvm import Bridge
from cxr_spark.bigdl.engine.session import quiet
from cxr_spark.config import TrainSettings

#: BigDL's names of the moments of its optimisers, by the setting `train.optimizer`.
MOMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType({"adam": ("s", "r"), "sgd": ("dfdx",)})
#: A further vector of Adam's, as long as its moments; its values are not read.
_SCRATCH = "denom"
_COUNTER = "evalCounter"


@dataclass(frozen=True)
class Rate:
    """The learning rate over the steps of one round.

    Attributes:
        first: the rate of the first step.
        growth: the amount that is added with every step.
    """

    first: float
    growth: float = 0.0


@dataclass(frozen=True)
class Moments:
    """The state of an optimiser for the whole parameter vector.

    Attributes:
        steps: number of steps done so far.
        vectors: the moments by BigDL's names, each float32 (parameters,).
    """

    steps: int
    vectors: Mapping[str, NDArray[np.float32]]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Returns the state as tensors for a checkpoint."""
        return {"steps": torch.tensor(self.steps), **{n: torch.from_numpy(v) for n, v in self.vectors.items()}}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Moments | None:
        """Returns the state that a checkpoint holds; None for the first checkpoint, which holds none."""
        if not tensors:
            return None
        vectors = {name: tensor.numpy() for name, tensor in tensors.items() if name != "steps"}
        return cls(int(tensors["steps"]), vectors)


def make_method(settings: TrainSettings, rate: Rate, steps: int = 0) -> Any:
    """Returns a BigDL optimiser (its Python object) without moments.

    Args:
        settings: how to train; they name the optimiser.
        rate: the learning rate.
        steps: number of steps done before the first one of `rate`.
    """
    from bigdl.dllib.optim.optimizer import SGD, Adam, Default, Warmup

    with quiet():
        if settings.optimizer == "adam":
            return Adam(learningrate=rate.first)
        schedule = Warmup(rate.growth) if rate.growth else Default()
        return SGD(
            learningrate=rate.first - rate.growth * steps,
            momentum=settings.momentum,
            dampening=0.0,
            leaningrate_schedule=schedule,
        )


def make_slices(bridge: Bridge, settings: TrainSettings, rate: Rate, moments: Moments, nodes: int) -> list[Any]:
    """Returns one optimiser (a JVM object) for each node, with the moments of the node's slice."""
    made = []
    for start, end in slices(len(next(iter(moments.vectors.values()))), nodes):
        method = make_method(settings, rate, moments.steps).value
        state = method.state()
        state.update(_COUNTER, moments.steps)
        for name, vector in moments.vectors.items():
            state.update(name, bridge.tensor(vector[start:end]))
        if settings.optimizer == "adam":
            state.update(_SCRATCH, bridge.tensor(np.zeros(end - start, np.float32)))
        made.append(method)
    return made


def read_moments(bridge: Bridge, settings: TrainSettings, methods: Sequence[Any]) -> Moments:
    """Reads the moments of the nodes' optimisers, as `make_slices` made them and BigDL changed them."""
    states = [method.state() for method in methods]
    counted = {int(state.get(_COUNTER).get()) for state in states}
    vectors = {
        name: bridge.read([state.get(name).get() for state in states])
        for name in MOMENTS[settings.optimizer]
        if all(state.contains(name) for state in states)  # SGD without momentum has none
    }
    return Moments(min(counted), vectors)


def slices(length: int, nodes: int) -> list[tuple[int, int]]:
    """Returns [start, end) of every node's part of the parameter vector; the first parts may be longer by one."""
    size, rest = divmod(length, nodes)
    bounds = [node * size + min(node, rest) for node in range(nodes + 1)]
    return list(itertools.pairwise(bounds))
