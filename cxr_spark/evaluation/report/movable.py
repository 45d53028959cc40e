"""Operating points that the reader of the page picks on the curves of a finding, with the counts at each of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cxr_spark.evaluation.report.panels import Panel, kept
from cxr_spark.evaluation.report.plots import RocCurve
from cxr_spark.evaluation.report.words import POOLED
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
            threshold of the decisions does not; the highest where there is no such one. Where the decisions have no
            threshold, as for all pairs together, that of Youden's index stands in its place.
        finding: the name of the finding in the data.
        pooled: whether this is no finding but all pairs of image and finding together, which are then what is counted
            instead of images.
    """

    name: str
    positive: int
    negative: int
    thresholds: list[float]
    true: list[int]
    false: list[int]
    start: int
    finding: str
    pooled: bool = False


def movable_points(curves: Sequence[RocCurve], numbers: Any, micro: RocCurve | None = None) -> list[MovablePoint]:
    """Returns the thresholds of each curve that knows them, with exact counts.

    Args:
        curves: the curves of the findings that have both classes.
        numbers: the content of metrics.json.
        micro: the curve of all (image, finding) pairs. It comes last, and is left out beside a single finding, whose
            curve it is.
    """
    decided = list(numbers["classification"].values())[-1]["findings"]
    made = []
    for curve in curves:
        if curve.thresholds is None:
            continue
        found = numbers["findings"][curve.name]
        start = decided[curve.name].get("threshold")
        if start is None:
            start = found["threshold"]
        made.append(_movable(curve.name, curve, found, start))
    if micro is not None and micro.thresholds is not None and len(curves) > 1:
        youden = micro.thresholds[np.argmax(micro.points[0] - micro.points[1])]
        made.append(_movable(POOLED, micro, numbers["micro"], youden, pooled=True))
    return made


def _movable(name: str, curve: RocCurve, found: Any, start: float, *, pooled: bool = False) -> MovablePoint:
    assert curve.thresholds is not None
    places = kept(curve.points)[1:]  # the first point calls no image positive
    thresholds, (true, false) = curve.thresholds[places], curve.points[:, places]
    return MovablePoint(
        words(name),
        found["n_positive"],
        found["n_negative"],
        thresholds.tolist(),
        np.rint(true * found["n_positive"]).astype(int).tolist(),
        np.rint(false * found["n_negative"]).astype(int).tolist(),
        max(int(np.count_nonzero(thresholds >= start)) - 1, 0),
        name,
        pooled,
    )


def as_json(movable: Sequence[MovablePoint]) -> str:
    """Returns the points as the JSON that the page's scripts read."""
    unread = ("finding", "pooled")
    return json.dumps([{k: v for k, v in asdict(each).items() if k not in unread} for each in movable], allow_nan=False)


def places_of(panels: Sequence[Panel], movable: Sequence[MovablePoint]) -> list[int | None]:
    """Returns for each panel the place of its points among all; None for a mean of curves, which has no thresholds."""
    places = {(each.finding, each.pooled): place for place, each in enumerate(movable)}
    return [places.get((panel.name, panel.whole)) for panel in panels]
