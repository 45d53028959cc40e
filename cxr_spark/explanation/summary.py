"""The content of `localization.json`: how the maps of all images agree with radiologists' boxes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cxr_spark.explanation.boxes import BoxList
from cxr_spark.explanation.localization import DEFINITIONS, BoxOverlap, by_finding, summarise

log = logging.getLogger(__name__)


def localization(
    overlaps: Sequence[BoxOverlap], listed: BoxList | None, used: BoxList | None, about: dict[str, Any]
) -> dict[str, Any]:
    """Builds `localization.json`.

    Args:
        overlaps: how the maps overlap with the boxes.
        listed: all boxes of the list; None where no list was given.
        used: the boxes of the model's findings.
        about: the model, the list of boxes and the threshold that the numbers belong to.

    Returns:
        A JSON value: `about`'s items; `boxes_listed`, `boxes_met` (in images that were explained),
        `boxes_of_other_images`, `boxes_of_other_findings` (by finding); for each of `findings`, and for `all` pooled,
        what `localization.summarise` gives; `definitions`.
    """
    every = listed.counts if listed else Counter[str]()
    kept = used.counts if used else Counter[str]()
    compared = sum(overlap.boxes for overlap in overlaps)
    others = kept.total() - compared
    if others:
        log.warning("%d of %d boxes belong to images that were not explained", others, every.total())
    if every - kept:
        log.warning("boxes of findings that the model does not know: %s", ", ".join(sorted(every - kept)))
    return {
        **about,
        "boxes_listed": every.total(),
        "boxes_met": compared,
        "boxes_of_other_images": others,
        "boxes_of_other_findings": dict(sorted((every - kept).items())),
        "findings": by_finding(overlaps),
        "all": summarise(overlaps),
        "definitions": dict(DEFINITIONS),
    }
