"""Compares heat maps with radiologists' boxes: the pointing game, and overlaps of the thresholded map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr_spark.explanation.boxes import Box
from cxr_spark.models.metadata import Preprocessing

#: The overlaps at which Wang et al. (ChestX-ray8, CVPR 2017) report the accuracy of localisation.
IOU_AT: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
IOBB_AT: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)
#: Side of the grid on which overlaps are counted.
GRID = 512

DEFINITIONS: Mapping[str, str] = MappingProxyType(
    {
        "pointing_game": "share of the maps whose maximum, at the middle of its cell, is in a box of the finding "
        "(Zhang et al., ECCV 2016; no tolerance around the box)",
        "pointing_game_by_chance": "the same for a random point: mean part of the image that the boxes cover",
        "iou": "pixels both in the thresholded map and in the boxes, of those in either",
        "iou_at": "share of maps with a region whose IoU with a box is at least this; a region is the upright "
        "rectangle around connected pixels of the thresholded map (Wang et al., CVPR 2017)",
        "iobb_at": "the same for the part of the region that lies in the box (their IoBB)",
        "threshold": "the thresholded map holds what is at least this part of the map's maximum (Wang et al. take "
        "60/255 and 180/255 of it)",
    }
)


class BoxOverlap(NamedTuple):
    """The overlap of a finding's map with the boxes of that finding in one image.

    Attributes:
        finding: the name of the finding.
        boxes: the number of its boxes.
        visible: whether a part of them lies in the prepared square. If not, all that follows is zero.
        evidence: whether the map has values above zero. If not, it overlaps with nothing.
        hit: whether the maximum of the map lies in a box.
        iou: the IoU of the whole thresholded map with all boxes together.
        best_iou: the largest IoU of a region with a box.
        best_iobb: the largest fraction of a region that lies in a box.
        area: the fraction of the square that the boxes cover.
    """

    finding: str
    boxes: int
    visible: bool = False
    evidence: bool = False
    hit: bool = False
    iou: float = 0.0
    best_iou: float = 0.0
    best_iobb: float = 0.0
    area: float = 0.0


def seen(preprocessing: Preprocessing) -> tuple[float, float]:
    """Returns where the network's input lies in the prepared square: its left (and upper) edge, and its side.

    Both are fractions of the square's side.
    """
    if not preprocessing.crop:
        return 0.0, 1.0
    margin = (preprocessing.stored_size - preprocessing.input_size) // 2
    return margin / preprocessing.stored_size, preprocessing.input_size / preprocessing.stored_size


def on_square(cam: NDArray[np.float32], preprocessing: Preprocessing, side: int = GRID) -> NDArray[np.float32]:
    """Lays a map over the prepared square, as a grid of equal cells over what the network saw.

    Args:
        cam: float32 (h, w), not negative.
        preprocessing: the preprocessing of the model.
        side: the side of the result in pixels.

    Returns:
        float32 (side, side): 0 to 1, where 1 is the maximum of the map; 0 where the network saw nothing.
    """
    start, width = seen(preprocessing)
    first, inner = round(start * side), max(1, round(width * side))
    highest = float(cam.max())
    square = np.zeros((side, side), np.float32)
    if highest > 0:
        scaled = cv2.resize(cam / highest, (inner, inner), interpolation=cv2.INTER_LINEAR)
        square[first : first + inner, first : first + inner] = scaled[: side - first, : side - first]
    return square


def compare_with_boxes(
    finding: str,
    cam: NDArray[np.float32],
    boxes: Sequence[Box | None],
    preprocessing: Preprocessing,
    threshold: float,
) -> BoxOverlap:
    """Compares the map of a finding with its boxes in one image.

    Args:
        finding: the name of the finding.
        cam: float32 (h, w), not negative.
        boxes: the boxes in fractions of the prepared square's side; None for a box outside of it.
        preprocessing: the preprocessing of the model.
        threshold: the fraction of the map's maximum from which on a pixel belongs to the thresholded map.
    """
    visible = [box for box in boxes if box is not None]
    if not visible:
        return BoxOverlap(finding, len(boxes))
    inside = np.zeros((GRID, GRID), bool)
    for box in visible:
        rows, columns = _pixels(box.y, box.h), _pixels(box.x, box.w)
        inside[rows, columns] = True
    found = BoxOverlap(finding, len(boxes), visible=True, area=float(inside.mean()))
    if not cam.max() > 0:
        return found
    mask = on_square(cam, preprocessing) >= threshold
    regions = _regions(mask)
    return found._replace(
        evidence=True,
        hit=_maximum_in(cam, visible, preprocessing),
        iou=float((mask & inside).sum() / (mask | inside).sum()),
        best_iou=max((_overlap(one, box) / _union(one, box) for one in regions for box in visible), default=0.0),
        best_iobb=max((_overlap(one, box) / (one.w * one.h) for one in regions for box in visible), default=0.0),
    )


def summarise(overlaps: Iterable[BoxOverlap]) -> dict[str, Any]:
    """Sums up the overlaps of one or of all findings: counts, and means over the images that show any of the boxes."""
    every = list(overlaps)
    seen_ones = [m for m in every if m.visible]

    def mean(values: Iterable[float]) -> float | None:
        return float(np.mean(list(values))) if seen_ones else None

    return {
        "images": len(seen_ones),
        "boxes": sum(m.boxes for m in seen_ones),
        "images_with_boxes_out_of_sight": len(every) - len(seen_ones),
        "images_without_evidence": sum(not m.evidence for m in seen_ones),
        "pointing_game_hits": sum(m.hit for m in seen_ones),
        "pointing_game": mean(m.hit for m in seen_ones),
        "pointing_game_by_chance": mean(m.area for m in seen_ones),
        "mean_iou": mean(m.iou for m in seen_ones),
        "iou_at": {str(t): mean(m.best_iou >= t for m in seen_ones) for t in IOU_AT},
        "iobb_at": {str(t): mean(m.best_iobb >= t for m in seen_ones) for t in IOBB_AT},
    }


def by_finding(overlaps: Sequence[BoxOverlap]) -> dict[str, dict[str, Any]]:
    """Returns the summary of each finding that has boxes, by its name."""
    counted = Counter(m.finding for m in overlaps)
    return {name: summarise(m for m in overlaps if m.finding == name) for name in sorted(counted)}


def _maximum_in(cam: NDArray[np.float32], boxes: Iterable[Box], preprocessing: Preprocessing) -> bool:
    """Whether the maximum lies in a box. It is at the middle of a cell: interpolation never rises above the cells."""
    row, column = np.unravel_index(int(cam.argmax()), cam.shape)
    start, width = seen(preprocessing)
    x = start + width * (column + 0.5) / cam.shape[1]
    y = start + width * (row + 0.5) / cam.shape[0]
    return any(box.x <= x <= box.x + box.w and box.y <= y <= box.y + box.h for box in boxes)


def _pixels(start: float, length: float) -> slice:
    first = min(round(start * GRID), GRID - 1)
    return slice(first, max(first + 1, round((start + length) * GRID)))


def _regions(mask: NDArray[np.bool_]) -> list[Box]:
    """Returns the upright rectangles around connected (also by corners) pixels, in fractions of the side."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    found = stats[1:, : cv2.CC_STAT_HEIGHT + 1] / len(mask)  # the first region is the background
    return [Box(*map(float, row)) for row in found]


def _overlap(one: Box, other: Box) -> float:
    width = min(one.x + one.w, other.x + other.w) - max(one.x, other.x)
    height = min(one.y + one.h, other.y + other.h) - max(one.y, other.y)
    return max(width, 0.0) * max(height, 0.0)


def _union(one: Box, other: Box) -> float:
    return one.w * one.h + other.w * other.h - _overlap(one, other)
