"""The explain job on the driver: let Spark's tasks draw, and sum up how the maps meet the boxes."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cxr_spark.errors import DataError
from cxr_spark.explanation.boxes import BoxList
from cxr_spark.explanation.localization import DEFINITIONS, Meeting, by_finding, summarise
from cxr_spark.explanation.plan import Selection
from cxr_spark.explanation.task import PartExplainer
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.scoring.task import QUARANTINE_FOLDER, write_quarantine
from cxr_spark.storage.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

LOCALIZATION_NAME = "localization.json"


def explain(
    spark: SparkSession, selections: Sequence[Selection], set_aside: pa.Table, explainer: PartExplainer
) -> tuple[dict[str, Any], list[Meeting]]:
    """Writes the pictures of all images.

    Args:
        spark: the session.
        selections: what to explain, one a task.
        set_aside: columns of `schema.QUARANTINE`: images that are not even read.
        explainer: explains a part.

    Returns:
        The counts, `images` and `quarantined` by reason; and how maps met boxes.

    Raises:
        DataError: not one image could be read; prepared data or the model are damaged.
        RunError: a file could not be written.
    """
    store = Store(explainer.out)
    quarantined: Counter[str] = Counter(set_aside["reason"].to_pylist())
    if set_aside.num_rows:
        write_quarantine(store, "names", set_aside)
    started = time.monotonic()
    done = run_parts(spark, selections, explainer, "explaining")
    for part in done:
        quarantined.update(part.quarantined)
    images, seconds = sum(part.images for part in done), time.monotonic() - started
    log.info("explained %d images in %.1f s, %.1f images/s", images, seconds, images / seconds)
    if images == 0:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(quarantined.items()))
        raise DataError(f"none of the images can be read ({reasons}): see {store.uri_of(QUARANTINE_FOLDER)}")
    counts = {"images": images, "quarantined": dict(sorted(quarantined.items()))}
    return counts, [meeting for part in done for meeting in part.meetings]


def localization(
    meetings: Sequence[Meeting], listed: BoxList | None, used: BoxList | None, about: dict[str, Any]
) -> dict[str, Any]:
    """Builds `localization.json`.

    Args:
        meetings: of maps with boxes.
        listed: all boxes of the list; None where no list was given.
        used: those of the model's findings.
        about: what the numbers are of: model, list, threshold.

    Returns:
        A JSON value: `about`'s items; `boxes_listed`, `boxes_met` (in images that were explained),
        `boxes_of_other_images`, `boxes_of_other_findings` (by finding); for each of `findings`, and for `all` pooled,
        what `localization.summarise` gives; `definitions`.
    """
    every = listed.counts if listed else Counter[str]()
    kept = used.counts if used else Counter[str]()
    met = sum(meeting.boxes for meeting in meetings)
    others = kept.total() - met
    if others:
        log.warning("%d of %d boxes belong to images that were not explained", others, every.total())
    if every - kept:
        log.warning("boxes of findings that the model does not know: %s", ", ".join(sorted(every - kept)))
    return {
        **about,
        "boxes_listed": every.total(),
        "boxes_met": met,
        "boxes_of_other_images": others,
        "boxes_of_other_findings": dict(sorted((every - kept).items())),
        "findings": by_finding(meetings),
        "all": summarise(meetings),
        "definitions": dict(DEFINITIONS),
    }
