"""Measures calibration: temperatures or curves are fitted on validation images and applied to the evaluated ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.evaluation.calibration.bins import BINS, COUNTED, UNIT, BinCounter, CellCounter, Fitted
from cxr_spark.evaluation.calibration.methods import METHODS
from cxr_spark.evaluation.counting.auc import mean_of_defined
from cxr_spark.evaluation.image_sets.base import ImageSet
from cxr_spark.tables.schema import VALIDATION

_SHARES = ("brier", "ece")
_NOTHING_FITTED: Mapping[str, Any] = MappingProxyType(
    dict.fromkeys(fact for method in METHODS.values() for fact in method.facts)
)


def calibration_of(
    evaluated: ImageSet, held_out: ImageSet | None, findings: Sequence[str], method: str
) -> dict[str, Any]:
    """Measures calibration.

    Args:
        evaluated: checked images, all with labels.
        held_out: such images of the validation split; None where there are none, or where they themselves are
            evaluated. Then nothing is fitted.
        findings: the names of the findings, in the order of labels and scores.
        method: how probabilities are calibrated, one of `methods.METHODS`.

    Returns:
        The part `calibration` of metrics.json, whose fields docs/calibration.md describes. What cannot be computed is
        None.
    """
    fitted: Fitted | None = None
    seen: NDArray[np.int64] | None = None
    if held_out is not None:
        by_cell = _counted(held_out, CellCounter(len(findings)))
        fitted, seen = METHODS[method].fit(*by_cell), by_cell.sum(axis=-1)
    before, after = _counted(evaluated, BinCounter(len(findings), fitted))
    by_finding: dict[str, dict[str, Any]] = {}
    for place, name in enumerate(findings):
        found = None if fitted is None else fitted.facts(place)
        later = dict.fromkeys((*_SHARES, "reliability")) if found is None else _numbers(after[place])
        by_finding[name] = {
            "fitted": found is not None,
            "fitted_negative": None if seen is None else int(seen[0, place]),
            "fitted_positive": None if seen is None else int(seen[1, place]),
            **_NOTHING_FITTED,
            **(found or {}),
            **_numbers(before[place]),
            **{f"{key}_scaled": value for key, value in later.items()},
        }
    changed = {name: row for name, row in by_finding.items() if row["fitted"] and row["brier"] is not None}
    whole = changed if len(changed) == len(findings) else {}
    both = (*_SHARES, *(f"{key}_scaled" for key in _SHARES))
    return {
        "bins": BINS,
        "method": method,
        "fitted_on": None if held_out is None else VALIDATION,
        "findings": by_finding,
        "macro": {**_means(by_finding, _SHARES), **_means(whole, both[len(_SHARES) :])},
        "macro_fitted": {"findings_used": list(changed), **_means(changed, both)},
    }


def _means(rows: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> dict[str, float | None]:
    return {key: mean_of_defined([row[key] for row in rows.values()]) for key in keys}


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
