"""Temperature scaling: the one number by which the logits of a finding are divided so that its probabilities fit best.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, for one finding at a time: the temperature T
has the smallest log loss of sigmoid(logit / T) on the validation images. It changes no AUC. Nothing here needs Spark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Logits are cut at this, which is a probability of 1.5e-8: float32 holds none between that and 1 on the upper side.
LIMIT = 18.0
#: Images are counted in this many cells of equal width in the logit, so that every image goes through Spark once.
CELLS = 9216
#: The largest temperature that is looked for; the smallest is one over it.
_LARGEST = 100.0
_HALVINGS = 60


def logits_of(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the logits of probabilities, cut at `LIMIT`: an array of the same shape.

    >>> logits_of(np.array([0.0, 0.5, 1.0])).tolist()
    [-18.0, 0.0, 18.0]
    """
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
    cut: NDArray[np.float64] = np.clip(logits, -LIMIT, LIMIT)
    return cut


@dataclass(frozen=True)
class Temperatures:
    """The temperatures of all findings.

    Attributes:
        values: one for each finding; None where none could be fitted, see `fit_temperatures`.
    """

    values: Sequence[float | None]

    @classmethod
    def fitted(cls, negative: NDArray[np.int64], positive: NDArray[np.int64]) -> Temperatures:
        """Fits the temperature of each finding; the arrays are those of `fit_temperatures`."""
        return cls(tuple(fit_temperatures(negative, positive)))

    def __call__(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns probabilities after scaling: both of shape (images, findings); without a temperature by 1."""
        return scaled(probabilities, np.array([1.0 if value is None else value for value in self.values]))

    def facts(self, finding: int) -> Mapping[str, Any] | None:
        """Returns what was fitted for the finding in a place, as JSON values; None where nothing was."""
        value = self.values[finding]
        return None if value is None else {"temperature": value}


def scaled(probabilities: NDArray[np.float64], temperatures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns probabilities after temperature scaling.

    Args:
        probabilities: shape (images, findings).
        temperatures: shape (findings,).
    """
    return _sigmoid(logits_of(probabilities) / temperatures)


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns probabilities of logits, by the one form that never overflows."""
    return 0.5 * (1 + np.tanh(logits / 2))


def cells_of(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the cell, 0 to `CELLS` - 1, of each probability: an array of the same shape."""
    place = (logits_of(probabilities) + LIMIT) * (CELLS / (2 * LIMIT))
    return np.minimum(place.astype(np.int64), CELLS - 1)


def middles() -> NDArray[np.float64]:
    """Returns the logit in the middle of each cell: float64 of shape (CELLS,)."""
    return (np.arange(CELLS, dtype=np.float64) + 0.5) * (2 * LIMIT / CELLS) - LIMIT


def fit_temperatures(negative: NDArray[np.int64], positive: NDArray[np.int64]) -> list[float | None]:
    """Fits the temperature of each finding.

    An image counts with the logit in the middle of its cell, which is 0.002 from its own at most.

    Args:
        negative: int64 of shape (findings, CELLS), the images without the finding by cell.
        positive: an array of the same shape, the images with it.

    Returns:
        The temperatures. None where a class is empty; where the scores separate the classes perfectly, since then the
        lowest temperature is always the best; and where the scores do not rise with the finding.
    """
    logit = middles()
    fitted: list[float | None] = []
    for absent, present in zip(negative, positive, strict=True):
        there = np.flatnonzero(absent + present)
        if not absent.any() or not present.any():
            fitted.append(None)
            continue
        fitted.append(_fit(logit[there], absent[there] + present[there], present[there]))
    return fitted


def _fit(logit: NDArray[np.float64], n: NDArray[np.int64], present: NDArray[np.int64]) -> float | None:
    """Finds the root of the log loss's slope in 1 / T by halving: the log loss is convex, so the slope only grows."""

    def slope(inverse: float) -> float:
        return float(logit @ (n * _sigmoid(inverse * logit) - present))

    low, high = -np.log(_LARGEST), np.log(_LARGEST)
    if slope(np.exp(low)) >= 0 or slope(np.exp(high)) <= 0:
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))
