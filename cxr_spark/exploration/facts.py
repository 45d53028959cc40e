"""Counts labels, patients and shapes of a prepared dataset. Spark adds them up: no row of an image is collected."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cxr_spark.errors import DataError
from cxr_spark.exploration.distributions import (
    Counts,
    age_histogram,
    co_occurrence,
    findings_by_view,
    images_per_patient,
    value_counts,
)
from cxr_spark.exploration.examples import examples_of
from cxr_spark.exploration.rows import classes, read_rows
from cxr_spark.runtime.spark_tables import unreadable
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import SPLITS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, SparkSession

log = logging.getLogger(__name__)


def count_facts(spark: SparkSession, dataset: PreparedDataset) -> dict[str, Any]:
    """Counts everything but the pixels.

    Args:
        spark: the session.
        dataset: the dataset whose images are counted.

    Returns:
        A JSON value with `findings` (see `classes`), `n_images`, `n_patients`, `splits` (for each split with images its
        counts), `findings_by_view`, `examples`, `co_occurrence` and `image_shapes`.

    Raises:
        DataError: the dataset has no images, or is damaged.
    """
    started = time.monotonic()
    with unreadable(dataset.store.uri):
        images = read_rows(spark, dataset).persist()
        try:
            facts = _facts(images, classes(dataset.findings))
        finally:
            images.unpersist()
    log.info("counted labels, patients and shapes in %.1f s", time.monotonic() - started)
    return facts


def _facts(images: DataFrame, findings: Sequence[str]) -> dict[str, Any]:
    from pyspark.sql import functions as F  # noqa: N812

    whole = images.rollup("split").agg(
        F.count("*").alias("images"),
        F.countDistinct("patient_id").alias("patients"),
        F.count("patient_id").alias("with_patient"),
        F.count("age").alias("ages"),
        F.min("age").alias("age_min"),
        F.max("age").alias("age_max"),
        F.avg("age").alias("age_mean"),
        F.stddev_pop("age").alias("age_std"),
        F.min("n_labels").alias("fewest_labels"),
        F.max("n_labels").alias("most_labels"),
        *_shape_columns(),
    )
    by_split = {row["split"]: row for row in whole.collect()}
    total = by_split.pop(None)
    if (total["fewest_labels"], total["most_labels"]) != (len(findings), len(findings)):
        raise DataError(
            f"images have {total['fewest_labels']} to {total['most_labels']} labels, the manifest names "
            f"{len(findings)} findings: prepare the data again"
        )
    present = images.select("split", F.explode("present").alias("finding"), "height", "width")
    by_class = present.rollup("finding", "split").agg(F.count("*").alias("n"), *_shape_columns()).collect()
    unknown = images.select("split", F.explode("unknown").alias("finding")).groupBy("split", "finding").count()
    positives = _by_split(by_class, "n", findings)
    masked = _by_split(unknown.collect(), "count", findings)
    tables = {name: value_counts(images, name) for name in ("sex", "view_position")}
    ages = age_histogram(images)
    patients = images_per_patient(images)
    splits = {
        split: {
            **_split_facts(by_split[split], findings, positives.get(split, {}), masked.get(split, {})),
            "images_per_patient": patients.get(split),
            **{name: table.get(split, {}) for name, table in tables.items()},
            "ages": {**_age_facts(by_split[split]), "histogram": ages.get(split, {})},
        }
        for split in SPLITS
        if split in by_split
    }
    shapes = {findings[row["finding"]]: _shape(row) for row in by_class if row["split"] is None and row[0] is not None}
    return {
        "findings": list(findings),
        "n_images": total["images"],
        "n_patients": total["patients"] if total["with_patient"] else None,
        "splits": splits,
        "findings_by_view": findings_by_view(images, findings),
        "examples": examples_of(images, findings),
        "co_occurrence": {"findings": list(findings), "images": co_occurrence(images, len(findings))},
        "image_shapes": {
            "all": _shape(total),
            "by_split": {split: _shape(by_split[split]) for split in splits},
            "by_finding": {name: shapes.get(name) for name in findings},
        },
    }


def _shape_columns() -> list[Column]:
    from pyspark.sql import functions as F  # noqa: N812

    shape = F.struct((F.col("width").cast("long") * F.col("height")).alias("area"), F.col("width"), F.col("height"))
    return [
        F.min(shape).alias("smallest"),
        F.max(shape).alias("largest"),
        F.avg("width").alias("mean_width"),
        F.avg("height").alias("mean_height"),
    ]


def _shape(row: Row) -> dict[str, Any]:
    """Returns [width, height] in pixels of the smallest and the largest image (by area), and the mean of each side."""
    return {
        "smallest": [row["smallest"]["width"], row["smallest"]["height"]],
        "largest": [row["largest"]["width"], row["largest"]["height"]],
        "mean": [row["mean_width"], row["mean_height"]],
    }


def _split_facts(
    row: Row, findings: Sequence[str], positives: Mapping[str, int], masked: Mapping[str, int]
) -> dict[str, Any]:
    """Returns the images and patients of a split and, for each finding, the positive, negative and unknown images."""
    images = row["images"]
    counts = {}
    for name in findings:
        present, unknown = positives.get(name, 0), masked.get(name, 0)
        known = images - unknown
        counts[name] = {
            "positive": present,
            "negative": known - present,
            "unknown": unknown,
            "prevalence": present / known if known else None,
        }
    patients = row["patients"] if row["with_patient"] else None
    return {
        "images": images,
        "patients": patients,
        "images_without_patient": images - row["with_patient"],
        "findings": counts,
    }


def _age_facts(row: Row) -> dict[str, Any]:
    return {
        "known": row["ages"],
        "unknown": row["images"] - row["ages"],
        **{name: row[f"age_{name}"] for name in ("min", "max", "mean", "std")},
    }


def _by_split(rows: Sequence[Row], count: str, findings: Sequence[str]) -> Counts:
    found: Counts = {}
    for row in rows:
        if row["split"] is not None and row["finding"] is not None:
            found.setdefault(row["split"], {})[findings[row["finding"]]] = row[count]
    return found
