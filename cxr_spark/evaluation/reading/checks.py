"""Checks predictions before anything is computed from them, and counts what there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cxr_spark.datasets.matching import WAYS, told
from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.images import IMAGES, ROUNDING, Truth, checker
from cxr_spark.evaluation.reading.predictions import Predictions
from cxr_spark.evaluation.reading.rows import then
from cxr_spark.runtime.spark_schema import to_spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Inventory:
    """The numbers of images and patients in predictions.

    Attributes:
        n_images: the evaluated images: they have labels and belong to the wanted split.
        n_labelled: the images with labels in all splits together.
        n_unlabelled: the images without a label row, which are left out.
        n_patients: the number of patients of the evaluated images; None where no image names its patient.
        n_without_patient: the evaluated images whose patient is not known; each counts as one patient.
        matched: the number of images whose name in the labels is written differently, for each of `matching.WAYS`.
        n_clipped: scores that left 0..1 by rounding and were put back.
    """

    n_images: int
    n_labelled: int
    n_unlabelled: int
    n_patients: int | None
    n_without_patient: int
    matched: dict[str, int]
    n_clipped: int

    def warnings(self) -> list[str]:
        """Says what was guessed or changed, with number and remedy."""
        said = [
            f"{line}: if these are not the same images, give names that are written alike in both tables"
            for line in told(self.matched.items())
        ]
        if self.n_clipped:
            said.append(f"{self.n_clipped} probabilities left 0..1 by rounding (by {ROUNDING:g} at most): clipped")
        return said


def checked(predictions: Predictions) -> DataFrame:
    """Returns rows of `images.IMAGES`: labels joined, every fault written down."""
    read = then(predictions.reader, checker(predictions.findings, predictions.truth))
    return predictions.tasks.mapInArrow(read, to_spark(IMAGES))


def check_rows(frame: DataFrame, source: str) -> str | None:
    """Checks all rows.

    Args:
        frame: the persisted result of `checked`.
        source: URI of the predictions, for messages.

    Returns:
        The `model_id` of the predictions; None where the source does not say.

    Raises:
        DataError: no rows, a faulty row, an image twice, or several models.
    """
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    found = frame.agg(
        F.count("*").alias("rows"),
        F.min("fault").alias("fault"),
        F.count_distinct("image_index").alias("images"),
        F.count_distinct("model_id").alias("models"),
        F.min("model_id").alias("model_id"),
    ).first()
    if found is None or found["rows"] == 0:
        raise DataError(f"{source} has no predictions: the table is empty")
    if found["fault"] is not None:
        raise DataError(f"{source}: {found['fault']}")
    if found["images"] != found["rows"]:
        twice = frame.groupBy("image_index").count().where("count > 1").orderBy("image_index").first()
        name, times = (twice["image_index"], twice["count"]) if twice else ("?", 2)
        raise DataError(
            f"{source}: image {name!r} has {times} rows ({found['rows'] - found['images']} rows too many in all): "
            "expected one an image"
        )
    if found["models"] > 1:
        raise DataError(
            f"{source} holds predictions of {found['models']} models, {found['model_id']!r} the first: score each into "
            "a folder of its own"
        )
    model_id: str | None = found["model_id"]
    return model_id


def take_inventory(frame: DataFrame, source: str, split: str | None, truth: Truth | None = None) -> Inventory:
    """Counts the images that are evaluated.

    Args:
        frame: the persisted result of `checked`.
        source: URI of the predictions, for messages.
        split: the split that is evaluated; None for all.
        truth: labels from a file of their own, for messages.

    Raises:
        DataError: no image has labels, or none is of that split.
    """
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    labelled = F.col("labels").isNotNull()
    evaluated = labelled if split is None else labelled & F.coalesce(F.col("split") == split, F.lit(False))
    found = frame.agg(
        F.count("*").alias("rows"),
        F.count(F.when(labelled, 1)).alias("labelled"),
        F.count(F.when(evaluated, 1)).alias("evaluated"),
        F.count_distinct(F.when(evaluated, F.col("patient"))).alias("patients"),
        F.count(F.when(evaluated & ~F.col("patient_known"), 1)).alias("without_patient"),
        F.min("image_index").alias("image"),
        F.collect_set("split").alias("splits"),
        F.sum("clipped").alias("clipped"),
        *(F.count(F.when(labelled & (F.col("matched") == way), 1)).alias(f"by_{way}") for way in WAYS),
    ).first()
    if found is None or found["labelled"] == 0:
        other = "" if truth is None else f"; the label file names {truth.facts.column('image_index')[0].as_py()!r}"
        raise DataError(
            f"{source}: no image has labels (the first is {found['image'] if found else None!r}{other}): give the "
            "label file that names these images by --labels, and by --dataset whose it is"
        )
    if found["evaluated"] == 0:
        there = ", ".join(sorted(found["splits"])[:5]) or "none is named"
        raise DataError(f"{source} has no labelled images of split {split!r} (splits: {there}): choose another --split")
    known = found["evaluated"] - found["without_patient"]
    return Inventory(
        n_images=found["evaluated"],
        n_labelled=found["labelled"],
        n_unlabelled=found["rows"] - found["labelled"],
        n_patients=found["patients"] if known else None,
        n_without_patient=found["without_patient"],
        matched={way: found[f"by_{way}"] for way in WAYS},
        n_clipped=found["clipped"],
    )
