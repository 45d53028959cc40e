"""Radiologists' boxes, and their places in a prepared image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cxr_spark.datasets.csv_table import shorten
from cxr_spark.datasets.matching import WAY_WORDS, renamed
from cxr_spark.errors import DataError
from cxr_spark.imaging.resize import ResizeMode


class Box(NamedTuple):
    """A rectangle, in pixels or in fractions of a square image's side.

    Attributes:
        x: the left edge.
        y: the upper edge.
        w: the width.
        h: the height.
    """

    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True)
class BoxList:
    """The boxes of a list.

    Attributes:
        by_image: the boxes by image_index and finding, in pixels of the image that they were drawn on.
        counts: the number of boxes of each finding.
    """

    by_image: dict[str, dict[str, tuple[Box, ...]]]
    counts: Counter[str]

    def of(self, findings: tuple[str, ...], source: str) -> BoxList:
        """Returns the boxes of a model's findings only.

        Args:
            findings: the model's findings.
            source: the URI of the list, for messages.

        Raises:
            DataError: the list has no box of them.
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

    def for_images(self, names: Sequence[str]) -> tuple[BoxList, list[str]]:
        """Matches boxes with images whose names the list writes with a path, in another case, or without a suffix.

        Boxes that could belong to several images stay as they are, and so do images that could have boxes of several.

        Args:
            names: `image_index` of all images.

        Returns:
            The boxes under the names of the images; and warnings of what was guessed, with what to do about it.
        """
        found = renamed(names, list(self.by_image))
        own = {listed: name for name, listed in found.names.items()}
        lines = []
        if found.example is not None:
            lines = [
                f"{count} images were matched with their boxes {WAY_WORDS[way]}, such as {shorten(found.example[0])!r} "
                f"with {shorten(found.example[1])!r}: if these are not the same images, write the names of --boxes as "
                "those of the images"
                for way, count in found.counts.items()
                if count
            ]
        return BoxList({own.get(name, name): boxes for name, boxes in self.by_image.items()}, self.counts), lines


def in_square(box: Box, *, drawn_on: int | None, height: int, width: int, size: int, mode: ResizeMode) -> Box | None:
    """Finds the place of a box in the prepared square.

    Args:
        box: the box in pixels of the image that it was drawn on.
        drawn_on: the side of that image in pixels; None where it is the original image.
        height: the height of the original image in pixels.
        width: the width of the original image in pixels.
        size: the side of the prepared square in pixels.
        mode: how the image was made square, see `imaging.resize`.

    Returns:
        The box in fractions of the square's side, cut at its edges; None where all of it was cut off.
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
