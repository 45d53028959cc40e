"""Measures calibration: temperatures are fitted on validation images and applied to the evaluated ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.evaluation.calibration.bins import BINS, COUNTED, UNIT, BinCounter, CellCounter
from cxr_spark.evaluation.calibration.temperature import fit_temperatures
from cxr_spark.evaluation.counting.auc import mean_of_defined
from cxr_spark.evaluation.image_sets.base import ImageSet
from cxr_spark.tables.schema import VALIDATION

_SHARES = ("brier", "ece")


def calibration_of(evaluated: ImageSet, held_out: ImageSet | None, findings: Sequence[str]) -> dict[str, Any]:
    """Measures calibration.

    Args:
        evaluated: checked images, all with labels.
        held_out: such images of the validation split; None where there are none, or where they themselves are
            evaluated. Then nothing is fitted.
        findings: the names of the findings, in the order of labels and scores.

    Returns:
        The part `calibration` of metrics.json. For each finding: `brier` (mean squared error of the probability, Brier
        1950), `ece` (expected calibration error over the bins, Guo et al. 2017) and `reliability` (the bins that hold
        images), the same after scaling as `..._scaled`, and `temperature`. What cannot be computed is None.
    """
    temperatures: list[float | None] = [None] * len(findings)
    if held_out is not None:
        temperatures = fit_temperatures(*_counted(held_out, CellCounter(len(findings))))
    known = np.array([1.0 if temperature is None else temperature for temperature in temperatures])
    before, after = _counted(evaluated, BinCounter(known))
    by_finding: dict[str, dict[str, Any]] = {}
    for place, (name, temperature) in enumerate(zip(findings, temperatures, strict=True)):
        numbers = {"temperature": temperature, **_numbers(before[place])}
        later = dict.fromkeys((*_SHARES, "reliability")) if temperature is None else _numbers(after[place])
        by_finding[name] = {**numbers, **{f"{key}_scaled": value for key, value in later.items()}}
    fitted = [row for row in by_finding.values() if row["temperature"] is not None]
    return {
        "bins": BINS,
        "fitted_on": None if held_out is None else VALIDATION,
        "findings": by_finding,
        "macro": {
            **{key: mean_of_defined([row[key] for row in by_finding.values()]) for key in _SHARES},
            **{
                f"{key}_scaled": mean_of_defined([row[f"{key}_scaled"] for row in by_finding.values()])
                if len(fitted) == len(findings)
                else None
                for key in _SHARES
            },
        },
    }


def _counted(images: ImageSet, counter: CellCounter | BinCounter) -> NDArray[np.int64]:
    total = np.zeros(counter.shape, np.int64)
    for row in images.each(counter, COUNTED):
        total += np.frombuffer(bytes(row["counted"]), np.int64).reshape(counter.shape)
    return total


def _numbers(bins: NDArray[np.int64]) -> dict[str, Any]:
    """Returns the numbers of one finding from the counts of its bins, int64 of shape (4, BINS)."""
    images, positives, probability, error = bins
    total = int(images.sum())
    if total == 0:
        return {"brier": None, "ece": None, "reliability": []}
    away = sum(abs(int(p) * UNIT - int(n)) for p, n in zip(probability, positives, strict=True))
    return {
        "brier": int(error.sum()) * UNIT / total,
        "ece": away / total,
        "reliability": [
            {
                "low": place / BINS,
                "high": (place + 1) / BINS,
                "n_images": int(images[place]),
                "mean_probability": int(probability[place]) * UNIT / int(images[place]),
                "fraction_positive": int(positives[place]) / int(images[place]),
            }
            for place in np.flatnonzero(images).tolist()
        ],
    }
