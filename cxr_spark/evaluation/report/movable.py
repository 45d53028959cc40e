"""Operating points that the reader of the page moves along the curve of a finding, with the counts at each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_spark.evaluation.report.panels import kept
from cxr_spark.evaluation.report.plots import RocCurve
from cxr_spark.reporting.numbers import words


@dataclass(frozen=True)
class MovablePoint:
    """The thresholds of a finding that the page offers, from the highest to the lowest.

    Attributes:
        name: the name of the finding, as the reader sees it.
        positive: the number of images with the finding.
        negative: the number of images without it.
        thresholds: the scores at or above which the finding is called present.
        true: the number of true positives at each threshold.
        false: the number of false positives at each threshold.
        start: the place of the threshold that the page shows first: the lowest that calls no image present which the
            threshold of the decisions does not.
    """

    name: str
    positive: int
    negative: int
    thresholds: list[float]
    true: list[int]
    false: list[int]
    start: int


def movable_points(curves: Sequence[RocCurve], numbers: Any) -> list[MovablePoint]:
    """Returns the thresholds of each finding whose curve knows them, with exact counts.

    Args:
        curves: the curves of the findings that have both classes.
        numbers: the content of metrics.json.
    """
    decided = list(numbers["classification"].values())[-1]["findings"]
    made = []
    for curve in curves:
        if curve.thresholds is None:
            continue
        found = numbers["findings"][curve.name]
        places = kept(curve.points)[1:]  # the first point calls no image positive
        thresholds, (true, false) = curve.thresholds[places], curve.points[:, places]
        start = decided[curve.name].get("threshold")
        if start is None:
            start = found["threshold"]
        made.append(
            MovablePoint(
                words(curve.name),
                found["n_positive"],
                found["n_negative"],
                thresholds.tolist(),
                np.rint(true * found["n_positive"]).astype(int).tolist(),
                np.rint(false * found["n_negative"]).astype(int).tolist(),
                max(int(np.count_nonzero(thresholds >= start)) - 1, 0),
            )
        )
    return made
