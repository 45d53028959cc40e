"""What a picture of an explained image shows, in numbers and in words: the findings, their calls, and their boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cxr_spark.explanation.localization import BoxOverlap

#: The most images that the page of an explanation lists.
MAX_LISTED = 2000
#: A finding of several that can occur together is called from this probability on.
CALLED_FROM = 0.5

FOUND, FALSE_ALARM, MISSED, NOT_CALLED, NOT_KNOWN = "found", "false_alarm", "missed", "not_called", "not_known"
#: What a call and a label come to, in words.
VERDICTS: Mapping[str, str] = {
    FOUND: "labelled and called",
    FALSE_ALARM: "called, not labelled",
    MISSED: "labelled, not called",
    NOT_CALLED: "neither labelled nor called",
    NOT_KNOWN: "label not known",
}


class ShownFinding(NamedTuple):
    """One finding whose map is in a picture.

    Attributes:
        finding: the name of the finding.
        probability: the probability that the model gives to it.
        called: whether the model calls it: from `CALLED_FROM` on, or as the most probable class of a softmax.
        labelled: whether the image is labelled with it; None where that is not known.
        overlap: the comparison of its map with its boxes; None where it has no boxes in this image.
    """

    finding: str
    probability: float
    called: bool
    labelled: bool | None = None
    overlap: BoxOverlap | None = None

    @property
    def verdict(self) -> str:
        """What call and label come to: a key of `VERDICTS`."""
        if self.labelled is None:
            return NOT_KNOWN
        if self.labelled:
            return FOUND if self.called else MISSED
        return FALSE_ALARM if self.called else NOT_CALLED

    @property
    def in_words(self) -> str:
        """The verdict and, where the finding has boxes, how the map agrees with them."""
        told = VERDICTS[self.verdict]
        return told if self.overlap is None else f"{told}; {_boxes(self.overlap)}"


class ShownImage(NamedTuple):
    """One picture.

    Attributes:
        image_index: the name of the image.
        picture: the name of the picture's file.
        findings: the findings whose maps are in it, from the top.
    """

    image_index: str
    picture: str
    findings: tuple[ShownFinding, ...]


def _boxes(overlap: BoxOverlap) -> str:
    boxes = f"{overlap.boxes} boxes" if overlap.boxes > 1 else "the box"
    if not overlap.visible:
        return f"{boxes} outside of the prepared square"
    if not overlap.evidence:
        return "no evidence to compare with " + boxes
    place = "in" if overlap.hit else "outside of"
    return f"maximum {place} {boxes}, IoU {overlap.iou:.2f}"
