"""Small pictures of one curve each, as the paths of SVG, which the page draws in its own colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.datasets.findings import NO_FINDING
from cxr_spark.evaluation.report.plots import RocCurve, macro_curve
from cxr_spark.evaluation.report.words import POOLED, names_of_means

#: A panel is so many units wide and high, so that a path needs no fractions that the eye cannot see.
SIDE = 100
#: Each axis is cut into this many cells. Of all points in one cell only the first is kept.
_CELLS = 100


#: A bin of a reliability curve with fewer images than this is not drawn.
FEW_IMAGES = 10


@dataclass(frozen=True)
class Panel:
    """The curves of a finding.

    Attributes:
        name: the name of the finding, or `micro` and `macro` for all findings together.
        auc: the exact AUC; None for what has none.
        average_precision: the exact average precision; None for what has none.
        roc: the path of the ROC curve.
        precision_recall: the path of the precision-recall curve; empty where it cannot be drawn.
        chance: the precision of chance, which is the prevalence; None where it is not known.
        whole: whether it sums up findings.
    """

    name: str
    auc: float | None
    average_precision: float | None
    roc: str
    precision_recall: str = ""
    chance: float | None = None
    whole: bool = False


def panels_of(curves: Sequence[RocCurve], micro: RocCurve | None, numbers: Any) -> list[Panel]:
    """Makes the panels of a page: those that sum up first, then each finding, as metrics.json has them.

    Args:
        curves: the curves of the findings that have both classes.
        micro: the curve of all (image, finding) pairs.
        numbers: the content of metrics.json.

    Returns:
        A panel for each; a single finding has one panel alone, since macro and micro are the same as it.
    """
    made = []
    if len(curves) > 1:
        others = numbers.get("macro_without_no_finding")
        without, whole = names_of_means(others)
        means = [(without, others, [curve for curve in curves if curve.name != NO_FINDING])] if others else []
        for name, found, used in [*means, (whole, numbers["macro"], curves)]:
            if used:
                path = roc_path(macro_curve(used))
                made.append(Panel(name, found["auc"], found["average_precision"], path, whole=True))
        if micro is not None:
            made.append(_panel(POOLED, micro, numbers["micro"], whole=True))
    return made + [_panel(curve.name, curve, numbers["findings"][curve.name]) for curve in curves]


def _panel(name: str, curve: RocCurve, found: Any, *, whole: bool = False) -> Panel:
    positive, negative = found["n_positive"], found["n_negative"]
    return Panel(
        name,
        curve.auc,
        found["average_precision"],
        roc_path(curve.points),
        precision_recall_path(curve.points, positive, negative),
        positive / (positive + negative),
        whole,
    )


@dataclass(frozen=True)
class ComparedPanel:
    """The ROC curves of two models for a finding.

    Attributes:
        name: the name of the finding.
        auc: the AUC of the model.
        auc_baseline: the AUC of the baseline.
        roc: the path of the model's curve.
        roc_baseline: the path of the baseline's.
    """

    name: str
    auc: float
    auc_baseline: float
    roc: str
    roc_baseline: str


def compared_panels(curves: Sequence[tuple[RocCurve, RocCurve]]) -> list[ComparedPanel]:
    """Makes the panels of a comparison from pairs of curves, the model's first."""
    return [
        ComparedPanel(one.name, one.auc, other.auc, roc_path(one.points), roc_path(other.points))
        for one, other in curves
    ]


@dataclass(frozen=True)
class ReliabilityPanel:
    """The reliability curve of a finding.

    Attributes:
        name: the name of the finding.
        before: the path of the probabilities as they are.
        after: the path of the probabilities after calibration; empty where nothing was fitted.
        error: the expected calibration error of the probabilities as they are.
        error_after: the same after calibration; None where nothing was fitted.
    """

    name: str
    before: str
    after: str
    error: float
    error_after: float | None


def reliability_panels(calibration: Mapping[str, Any]) -> list[ReliabilityPanel]:
    """Makes the panels of calibration: the share of images with a finding over the mean probability of a bin.

    Args:
        calibration: the part `calibration` of metrics.json.
    """
    return [
        ReliabilityPanel(
            name,
            _reliability(row["reliability"]),
            _reliability(row["reliability_scaled"]),
            row["ece"],
            row["ece_scaled"],
        )
        for name, row in calibration["findings"].items()
        if row["reliability"]
    ]


def _reliability(bins: Sequence[Mapping[str, Any]] | None) -> str:
    """Returns the path through the bins that hold enough images.

    One bin alone becomes a short line, since a path of one point is not seen.
    """
    found = [(row["mean_probability"], row["fraction_positive"]) for row in bins or () if row["n_images"] >= FEW_IMAGES]
    if not found:
        return ""
    x, y = np.array(found).T
    return _path(np.r_[x - 0.01, x + 0.01], np.r_[y, y]) if len(found) == 1 else _path(x, y)


def roc_path(points: NDArray[np.float64]) -> str:
    """Returns the path of a ROC curve.

    Args:
        points: true and false positive rates, float64 of shape (2, n) from (0, 0) to (1, 1).
    """
    true, false = points[:, kept(points)]
    return _path(false, true)


def precision_recall_path(points: NDArray[np.float64], positive: int, negative: int) -> str:
    """Returns the path of the precision-recall curve that belongs to a ROC curve (Davis and Goadrich, ICML 2006).

    Args:
        points: true and false positive rates, float64 of shape (2, n) from (0, 0) to (1, 1).
        positive: the number of positives.
        negative: the number of negatives.
    """
    true, false = points[:, kept(points)]
    hits, alarms = true * positive, false * negative
    called = hits + alarms > 0  # the first point calls no image positive: it has no precision
    return _path(true[called], hits[called] / (hits[called] + alarms[called]))


def kept(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns the places of the points that a small picture needs: the first in each hundredth of either rate."""
    cells = np.minimum((points * _CELLS).astype(np.int64), _CELLS - 1)
    changes = (cells[:, 1:] != cells[:, :-1]).any(axis=0)
    keep = np.r_[True, changes] | np.r_[changes, True]
    keep[[0, -1]] = True
    return np.flatnonzero(keep)


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Returns the path through points of the unit square, y upwards."""
    return "M" + " ".join(f"{SIDE * a:.4g},{SIDE * (1 - b):.4g}" for a, b in zip(x, y, strict=True))
