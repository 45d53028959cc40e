"""Runs the tasks of the explain job, and brings together what they found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cxr_spark.config import ExplainSettings
from cxr_spark.errors import DataError
from cxr_spark.explanation.localization import BoxOverlap
from cxr_spark.explanation.plan import ChosenPart, draw, with_listing
from cxr_spark.explanation.sanity import summary_of
from cxr_spark.explanation.sanity_task import SanityCheck
from cxr_spark.explanation.shown import MAX_LISTED, ShownImage
from cxr_spark.explanation.task import PartExplainer
from cxr_spark.scoring.headers import doubts_of
from cxr_spark.scoring.plan import remedy_for_names
from cxr_spark.scoring.running import run_image_parts
from cxr_spark.scoring.shipping import threads_of_a_task
from cxr_spark.scoring.task import QUARANTINE_FOLDER, write_quarantine_part
from cxr_spark.storage.store import Store
from cxr_spark.tables.text import counted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def explain(
    spark: SparkSession, chosen_parts: Sequence[ChosenPart], set_aside: pa.Table, explainer: PartExplainer
) -> tuple[dict[str, Any], list[BoxOverlap], list[ShownImage]]:
    """Writes the pictures of all images.

    Args:
        spark: the session.
        chosen_parts: the images to explain, one part for each task.
        set_aside: columns of `schema.QUARANTINE`: images that are refused for their names and never read.
        explainer: explains a part.

    Returns:
        The counts, `images` and `quarantined` by reason; how maps overlap with boxes; and what the first
        `MAX_LISTED` pictures show.

    Raises:
        DataError: not one image could be read; prepared data or the model are damaged.
        RunError: a file could not be written.
    """
    store = Store(explainer.out)
    quarantined: Counter[str] = Counter(set_aside["reason"].to_pylist())
    if set_aside.num_rows:
        write_quarantine_part(store, "names", set_aside)
    done = run_image_parts(spark, with_listing(chosen_parts), explainer, doing="explaining", done="explained")
    for part in done:
        quarantined.update(part.quarantined)
    images = sum(part.images for part in done)
    if images == 0:
        reasons = counted(dict(sorted(quarantined.items())))
        where = f"{store.uri_of(QUARANTINE_FOLDER)}{remedy_for_names(quarantined)}"
        raise DataError(f"none of the images can be read ({reasons}): see {where}")
    counts = {"images": images, "quarantined": dict(sorted(quarantined.items()))}
    doubts = doubts_of((part.doubts for part in done), "explain")
    counts |= {"dicom_doubtful": doubts} if doubts else {}
    shown = [image for part in done for image in part.shown][:MAX_LISTED]
    return counts, [overlap for part in done for overlap in part.overlaps], shown


def check_maps(
    spark: SparkSession,
    chosen_parts: Sequence[ChosenPart],
    explainer: PartExplainer,
    settings: ExplainSettings,
    about: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Compares maps of some of the explained images with those of the network with random weights, in one task.

    Args:
        spark: the session.
        chosen_parts: the images that are explained.
        explainer: what explained them.
        settings: how many images are drawn, by which seed, and how they are explained.
        about: the model and the method, for the summary.

    Returns:
        The content of `sanity.json`; None where none of the drawn images could be read.
    """
    drawn = draw(chosen_parts, explainer.source.names, settings.sanity, settings.seed)
    check = SanityCheck(
        explainer.model,
        explainer.source,
        explainer.finding,
        explainer.method,
        threads_of_a_task(spark, 1),
        explainer.batch,
        settings.seed,
        explainer.listed,
    )
    (checked,) = run_image_parts(spark, [drawn], check, doing="comparing maps", done="compared the maps of")
    return None if not checked.images else summary_of(checked, {**about, "seed": settings.seed})
