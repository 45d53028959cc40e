"""Radiologists' boxes: NIH's `BBox_List_2017.csv`, and where its boxes lie in a prepared image."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from cxr_spark.datasets.csv_table import read_csv, shorten
from cxr_spark.errors import DataError
from cxr_spark.imaging.resize import ResizeMode

INDEX, FINDING = "Image Index", "Finding Label"
#: Findings that the list calls otherwise than the label file.
_ALIASES: Mapping[str, str] = MappingProxyType({"Infiltrate": "Infiltration"})
_SIDES = ("x", "y", "w", "h")
_NOT_LETTERS = re.compile(r"[^a-z]")


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


def read_boxes(data: bytes, source: str, side: int | None) -> BoxList:
    """Reads a box list in NIH's layout.

    Its header is `Image Index,Finding Label,Bbox [x,y,w,h],,,`: the four numbers are one bracketed name with commas in
    it, and the empty cells at the end have no column.

    Args:
        data: the file's bytes, gzipped or not.
        source: where they came from, for messages.
        side: side of the images that the boxes were drawn on, pixels; None: it is not the same for all.

    Raises:
        DataError: the bytes are no such file, or a box is wrong; names the line and the value.
    """
    csv = read_csv(data, source)
    columns = {_NOT_LETTERS.sub("", name.lower()).removeprefix("bbox"): name for name in csv.columns}
    places = [columns.get(name, f"Bbox {name}") for name in _SIDES]
    csv.require([INDEX, FINDING, *places], "NIH's box list (BBox_List_2017.csv)")
    indices = csv.parsed(INDEX, _not_empty)
    findings = [_ALIASES.get(name, name) for name in csv.parsed(FINDING, _not_empty)]
    numbers = [csv.parsed(name, _number) for name in places]
    found: dict[str, dict[str, tuple[Box, ...]]] = {}
    for row, (index, finding, *values) in enumerate(zip(indices, findings, *numbers, strict=True)):
        box = Box(*values)
        if min(box.w, box.h) <= 0 or min(box.x, box.y) < 0 or (side and max(box.x, box.y) >= side):
            room = f" inside of {side} x {side} pixels" if side else ""
            raise csv.error(row, f"box {', '.join(f'{v:g}' for v in box)}: expected x, y from 0 and w, h above 0{room}")
        of_image = found.setdefault(index, {})
        of_image[finding] = (*of_image.get(finding, ()), box)
    return BoxList(found, Counter(findings))


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


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{shorten(text)!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{shorten(text)!r} is not a finite number")
    return value
