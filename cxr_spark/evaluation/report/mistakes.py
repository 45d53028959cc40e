"""The worst mistakes, on the page and in files: which images they are, and pictures where the data are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cxr_spark.evaluation.decisions.mistakes import FALSE_NEGATIVES, FALSE_POSITIVES
from cxr_spark.evaluation.report.overlays import Overlays
from cxr_spark.evaluation.report.rows import FINDING, Numbers, values
from cxr_spark.reporting.tables import Column, Row, Table

#: What each kind of mistake is called.
KINDS: Mapping[str, str] = {FALSE_POSITIVES: "false positive", FALSE_NEGATIVES: "false negative"}


@dataclass(frozen=True)
class Pictures:
    """The pictures of the images with mistakes.

    Attributes:
        by_image: the address of each picture, by the name of its image. A page repeats a picture for each finding.
        absent: how many images the prepared data do not hold.
        left_out: how many pictures were left out to keep the page small.
        overlays: the maps of the mistakes, which stand beside; None where none are wanted.
    """

    by_image: Mapping[str, str]
    absent: int = 0
    left_out: int = 0
    overlays: Overlays | None = None


def mistakes_table(mistakes: Numbers) -> Table:
    """Returns the table of all mistakes that are named.

    Args:
        mistakes: the part `mistakes` of metrics.json.
    """
    columns = (
        FINDING,
        Column("Mistake", "text", "mistake"),
        Column("Image", "name", "image_index"),
        Column("Probability", "three", "probability"),
        Column("Threshold", "threshold", "threshold"),
    )
    rows = [
        Row((finding, KINDS[kind], *values(image, "image_index", "probability"), found["threshold"]), ruled=place == 0)
        for finding, found in mistakes["findings"].items()
        for kind in KINDS
        for place, image in enumerate(found[kind])
    ]
    return Table("mistakes", columns, rows)
