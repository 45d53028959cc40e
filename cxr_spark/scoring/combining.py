"""Combines the probabilities that several models, or several views of an image, give into one. It needs numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_spark.config.results import Average

Probabilities = NDArray[np.float32]

#: The logits of 0 and 1 are infinite, so probabilities are kept at least this far from both.
_EDGE = 1e-7


@dataclass(frozen=True, eq=False)
class Combination:
    """Combines the probabilities of all members into one.

    A member is a model with one view of the image: as it is, or mirrored.

    Attributes:
        average: what is averaged: probabilities, logits, or ranks among the reference images.
        one_softmax: the findings exclude each other, so that their probabilities add up to 1.
        platt: float64 (members, K, 2), slope and offset of each member's logits; None without calibration.
        reference: one array for each member, float32 (R, K): the probabilities that it gives to the R reference images,
            each column sorted; None where no ranks are averaged.
    """

    average: Average = "probabilities"
    one_softmax: bool = False
    platt: NDArray[np.float64] | None = None
    reference: tuple[Probabilities, ...] | None = None

    def __call__(self, members: Sequence[Probabilities]) -> Probabilities:
        """Combines the probabilities of all members.

        Args:
            members: the probabilities of each member, float32 (N, K).

        Returns:
            float32 (N, K). One member alone, neither calibrated nor ranked, is returned as it is.
        """
        if len(members) == 1 and self.platt is None and self.reference is None:
            return members[0]
        return self._averaged([self._scale(i, member) for i, member in enumerate(members)]).astype(np.float32)

    def _scale(self, i: int, probabilities: Probabilities) -> NDArray[np.float64]:
        """Brings one member's probabilities to the scale of the average."""
        if self.reference is not None:
            return ranks(probabilities, self.reference[i])
        if self.platt is not None:
            calibrated = self.platt[i, :, 0] * logits(probabilities) + self.platt[i, :, 1]
            return calibrated if self.average == "logits" else sigmoid(calibrated)
        if self.average == "logits":
            return np.log(_inside(probabilities)) if self.one_softmax else logits(probabilities)
        return probabilities.astype(np.float64)

    def _averaged(self, scaled: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.mean(scaled, axis=0)
        if self.average != "logits":
            return mean
        if not self.one_softmax:
            return sigmoid(mean)
        return softmax(mean)


def logits(probabilities: Probabilities) -> NDArray[np.float64]:
    """Returns the logits of probabilities, which are taken to be at least 1e-7 away from 0 and 1."""
    inside = _inside(probabilities)
    result: NDArray[np.float64] = np.log(inside) - np.log1p(-inside)
    return result


def _inside(probabilities: Probabilities) -> NDArray[np.float64]:
    return probabilities.astype(np.float64).clip(_EDGE, 1 - _EDGE)


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns 1 / (1 + exp(-x)), without overflow."""
    result: NDArray[np.float64] = np.exp(-np.logaddexp(0, -values))
    return result


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the softmax of each row of (N, K) values, without overflow."""
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def ranks(probabilities: Probabilities, reference: Probabilities) -> NDArray[np.float64]:
    """Returns the fraction of the reference images with a lower probability; those with an equal one count half.

    >>> ranks(np.array([[0.5]]), np.array([[0.1], [0.5], [0.9], [0.9]])).tolist()
    [[0.375]]

    Args:
        probabilities: (N, K).
        reference: (R, K), each column sorted.
    """
    columns = range(probabilities.shape[1])
    below = [np.searchsorted(reference[:, k], probabilities[:, k], "left") for k in columns]
    upto = [np.searchsorted(reference[:, k], probabilities[:, k], "right") for k in columns]
    return (np.stack(below, axis=1) + np.stack(upto, axis=1)) / (2.0 * len(reference))
