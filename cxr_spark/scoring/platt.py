"""Platt's calibration: a slope and an offset of the logits that make them fit the labels. numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEPS, _HALVINGS = 100, 30
#: Keeps the Hessian invertible where the logits are all alike.
_RIDGE = 1e-12
_SMALL_GRADIENT = 1e-9


def fit_platt(logits: NDArray[np.float64], labels: NDArray[np.float64]) -> tuple[float, float]:
    """Fits p = sigmoid(slope * logit + offset) by maximum likelihood, with Newton's method and step halving.

    The targets are Platt's: (N1 + 1) / (N1 + 2) for positive labels and 1 / (N0 + 2) for negative ones, so that labels
    which the logits separate give no infinite slope (Platt 1999; the method: Lin, Lin and Weng 2007).

    Args:
        logits: (N,).
        labels: (N,), each 0 or 1; both must occur.

    Returns:
        Slope and offset.
    """
    positive = labels > 0.5
    n1 = int(positive.sum())
    targets = np.where(positive, (n1 + 1) / (n1 + 2), 1 / (len(labels) - n1 + 2))
    centre, spread = float(logits.mean()), float(logits.std()) or 1.0  # the fit is better conditioned like that
    columns = np.stack([(logits - centre) / spread, np.ones_like(logits)])
    weights = np.array([0.0, np.log((n1 + 1) / (len(labels) - n1 + 1))])
    loss = _loss(weights @ columns, targets)
    for _ in range(_STEPS):
        probabilities = np.exp(-np.logaddexp(0, -(weights @ columns)))
        gradient = columns @ (probabilities - targets)
        if np.abs(gradient).max() < _SMALL_GRADIENT * len(labels):
            break
        curvature = (columns * (probabilities * (1 - probabilities))) @ columns.T + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        for halving in range(_HALVINGS):
            tried = weights - step / 2**halving
            found = _loss(tried @ columns, targets)
            if found < loss:
                weights, loss = tried, found
                break
        else:
            break
    slope = float(weights[0]) / spread
    return slope, float(weights[1]) - slope * centre


def _loss(values: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    return float(np.sum(np.logaddexp(0, values) - targets * values))
