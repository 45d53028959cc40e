"""The worst mistakes, on the page and in files: which images they are, and pictures where the data are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cxr_spark.evaluation.decisions.mistakes import FALSE_NEGATIVES, FALSE_POSITIVES
from cxr_spark.evaluation.report.rows import FINDING, Numbers, values
from cxr_spark.reporting.tables import Column, Row, Table
from cxr_spark.reporting.thumbnails import thumbnails, uses_in_turn
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.prepared_pixels import find_pixels

#: What each kind of mistake is called.
KINDS: Mapping[str, str] = {FALSE_POSITIVES: "false positive", FALSE_NEGATIVES: "false negative"}
#: The side of a picture in pixels. The page shows it a little smaller, for screens with fine pixels.
_SIDE = 160
#: The characters that all pictures of a page may take together, so that it stays below 3 MB.
_MOST_CHARACTERS = 1_600_000


@dataclass(frozen=True)
class Pictures:
    """The pictures of the images with mistakes.

    Attributes:
        by_image: the address of each picture, by the name of its image. A page repeats a picture for each finding.
        absent: how many images the prepared data do not hold.
        left_out: how many pictures were left out to keep the page small.
    """

    by_image: Mapping[str, str]
    absent: int = 0
    left_out: int = 0


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


def pictures_of(mistakes: Numbers, dataset: PreparedDataset) -> Pictures:
    """Makes the pictures of the images with mistakes.

    Args:
        mistakes: the part `mistakes` of metrics.json.
        dataset: the prepared data.

    Raises:
        DataError: a file of the data is gone or damaged.
        RunError: a file cannot be read.
    """
    uses = uses_in_turn(
        [image["image_index"] for image in found[kind]] for found in mistakes["findings"].values() for kind in KINDS
    )
    found = find_pixels(dataset, uses)
    made = thumbnails(found, uses, _SIDE, _MOST_CHARACTERS)
    return Pictures(made, absent=len(uses) - len(found), left_out=len(found) - len(made))


def told_missing(pictures: Pictures, data: str) -> list[str]:
    """Says which pictures are not there, in sentences for the report.

    Args:
        pictures: the pictures that were made.
        data: the URI of the prepared data.
    """
    told = []
    if pictures.absent:
        told.append(
            f"{pictures.absent:,} of the images with the worst mistakes are not in {data}, so they have no picture."
        )
    if pictures.left_out:
        told.append(f"{pictures.left_out:,} pictures of mistakes are left out to keep this page small.")
    return told
