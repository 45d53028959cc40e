"""Radiologists' boxes, and where they lie in a prepared image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from cxr_spark.datasets.csv_table import shorten
from cxr_spark.errors import DataError
from cxr_spark.imaging.resize import ResizeMode


class Box(NamedTuple):
    """A rectangle: its upper left corner, width and height; pixels, or parts of a square image's side."""

    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class BoxList:
    """The boxes of a list.

    Attributes:
        by_image: image_index to finding to boxes, in pixels of the image that they were drawn on.
        counts: boxes by finding.
    """

    by_image: dict[str, dict[str, tuple[Box, ...]]]
    counts: Counter[str]

    def of(self, findings: tuple[str, ...], source: str) -> BoxList:
        """Returns the boxes of a model's findings only.

        Raises:
            DataError: there are none.
        """
        kept = Counter({name: n for name, n in self.counts.items() if name in findings})
        if not kept:
            raise DataError(
                f"{source} has boxes of {', '.join(map(shorten, sorted(self.counts)))}, the model's findings are "
                f"{', '.join(findings)}: none in common"
            )
        images = {
            index: {name: boxes for name, boxes in by_finding.items() if name in kept}
            for index, by_finding in self.by_image.items()
        }
        return BoxList({index: some for index, some in images.items() if some}, kept)


def in_square(box: Box, *, drawn_on: int | None, height: int, width: int, size: int, mode: ResizeMode) -> Box | None:
    """Follows a box from the original image into the prepared square.

    Args:
        box: pixels of the image that it was drawn on.
        drawn_on: side of that image; None: it is the original itself.
        height: of the original image, pixels.
        width: of the original image, pixels.
        size: side of the prepared square, pixels.
        mode: how the image was made square: see `imaging.resize`.

    Returns:
        The box in parts of the square's side, cut at its edges; None where nothing of it is left.
    """
    x_scale, y_scale = (width / drawn_on, height / drawn_on) if drawn_on else (1.0, 1.0)
    x, y, w, h = box.x * x_scale, box.y * y_scale, box.w * x_scale, box.h * y_scale
    left = top = 0.0
    inner_width, inner_height = float(width), float(height)
    if mode == "crop":
        side = min(height, width)
        inner_width = inner_height = float(side)
        left, top = -((width - side) // 2) / side, -((height - side) // 2) / side
    elif mode == "pad":
        longest = max(height, width)
        across, down = max(1, round(width * size / longest)), max(1, round(height * size / longest))
        left, top = (size - across) // 2 / size, (size - down) // 2 / size
        inner_width, inner_height = width * size / across, height * size / down
    x0, x1 = (min(max(left + edge / inner_width, 0.0), 1.0) for edge in (x, x + w))
    y0, y1 = (min(max(top + edge / inner_height, 0.0), 1.0) for edge in (y, y + h))
    return Box(x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None
