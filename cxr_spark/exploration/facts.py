"""Counts of labels, patients and shapes in a prepared dataset, all aggregated by Spark: no image's row is collected."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.tables import literal, unreadable
from cxr_spark.runtime.spark_schema import to_spark
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import PREPARED, SPLITS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row, SparkSession

log = logging.getLogger(__name__)

#: Years that a bar of the histogram of ages spans.
AGE_BIN = 5
#: Views and sexes that are told one by one; a label file with more distinct values is not what it should be.
_MAX_VALUES = 20
#: How what is null is called in counts.
NOT_KNOWN = "not known"

_COLUMNS = ("patient_id", "view_position", "sex", "age", "labels", "height", "width")
Counts = dict[str, dict[str, int]]


def classes(findings: Sequence[str]) -> tuple[str, ...]:
    """Returns what images are counted by: the findings; of one finding alone its absence, too."""
    return (*findings, f"no {findings[0]}") if len(findings) == 1 else tuple(findings)


def count_facts(spark: SparkSession, dataset: PreparedDataset) -> dict[str, Any]:
    """Counts all but pixels.

    Args:
        spark: the session.
        dataset: what to count.

    Returns:
        A JSON value: `findings`, see `classes`; `splits`, of each split with images what `_split_facts` gives;
        `co_occurrence`; `image_shapes`.

    Raises:
        DataError: the dataset has no images, or is damaged.
    """
    started = time.monotonic()
    with unreadable(dataset.store.uri):
        images = _read(spark, dataset).persist()
        try:
            facts = _facts(images, classes(dataset.findings))
        finally:
            images.unpersist()
    log.info("counted labels, patients and shapes in %.1f s", time.monotonic() - started)
    return facts


def _read(spark: SparkSession, dataset: PreparedDataset) -> DataFrame:
    """Reads all but the pixels; labels become the numbers of the findings that are present, and that are not known."""
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    folders = [dataset.store.uri_of(f"data/split={split}") for split in SPLITS if dataset.files(split)]
    if not folders:
        raise DataError(f"{dataset.store.uri} has no images in any split: prepare it again with --overwrite")
    schema = to_spark(pa.schema([PREPARED.field(name) for name in _COLUMNS])).add("split", "string")
    base = dataset.store.uri_of("data")
    rows = spark.read.schema(schema).option("basePath", base).parquet(*map(literal, folders))
    if len(dataset.findings) == 1:  # NaN stays what it is
        rows = rows.withColumn("labels", F.expr("flatten(array(labels, transform(labels, label -> 1 - label)))"))
    return rows.select(
        "split",
        "patient_id",
        "view_position",
        "sex",
        "age",
        "height",
        "width",
        F.size("labels").alias("n_labels"),
        F.expr("filter(sequence(0, size(labels) - 1), i -> labels[i] = 1)").alias("present"),
        F.expr("filter(sequence(0, size(labels) - 1), i -> isnan(labels[i]))").alias("unknown"),
    )


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
    classes = present.rollup("finding", "split").agg(F.count("*").alias("n"), *_shape_columns()).collect()
    unknown = images.select("split", F.explode("unknown").alias("finding")).groupBy("split", "finding").count()
    positives = _by_split(classes, "n", findings)
    masked = _by_split(unknown.collect(), "count", findings)
    tables = {name: _value_counts(images, name) for name in ("sex", "view_position")}
    ages = _ages(images)
    patients = _images_per_patient(images)
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
    shapes = {findings[row["finding"]]: _shape(row) for row in classes if row["split"] is None and row[0] is not None}
    return {
        "findings": list(findings),
        "n_images": total["images"],
        "n_patients": total["patients"] if total["with_patient"] else None,
        "splits": splits,
        "co_occurrence": {"findings": list(findings), "images": _co_occurrence(images, len(findings))},
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
    """Returns the smallest and the largest image (by area), and the mean of each side, [width, height] in pixels."""
    return {
        "smallest": [row["smallest"]["width"], row["smallest"]["height"]],
        "largest": [row["largest"]["width"], row["largest"]["height"]],
        "mean": [row["mean_width"], row["mean_height"]],
    }


def _split_facts(
    row: Row, findings: Sequence[str], positives: Mapping[str, int], masked: Mapping[str, int]
) -> dict[str, Any]:
    """Returns images, patients, and of each finding how many images have it, do not, or are not known to."""
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


def _value_counts(images: DataFrame, name: str) -> Counts:
    """Counts the values of a column by split, the most frequent first."""
    from pyspark.sql import functions as F  # noqa: N812

    value = F.coalesce(F.col(name), F.lit(NOT_KNOWN)).alias("value")
    rows = images.groupBy("split", value).count().orderBy(F.desc("count"), "value").limit(_MAX_VALUES * len(SPLITS))
    found: Counts = {}
    for row in rows.collect():
        found.setdefault(row["split"], {})[row["value"]] = row["count"]
    return found


def _ages(images: DataFrame) -> Counts:
    """Counts images by split and age; a bin is called by the age at which it begins."""
    from pyspark.sql import functions as F  # noqa: N812

    start = (F.floor(F.col("age") / AGE_BIN) * AGE_BIN).alias("start")
    rows = images.where("age is not null").groupBy("split", start).count().orderBy("start").collect()
    found: Counts = {}
    for row in rows:
        found.setdefault(row["split"], {})[str(row["start"])] = row["count"]
    return found


def _images_per_patient(images: DataFrame) -> dict[str, dict[str, Any]]:
    """Counts, by split, patients by how many images they have."""
    each = images.where("patient_id is not null").groupBy("split", "patient_id").count()
    rows = each.withColumnRenamed("count", "images").groupBy("split", "images").count().orderBy("images").collect()
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        split = found.setdefault(row["split"], {"mean": 0.0, "max": 0, "histogram": {}})
        split["histogram"][str(row["images"])] = row["count"]
        split["max"] = row["images"]
    for split in found.values():
        counts = {int(images): n for images, n in split["histogram"].items()}
        split["mean"] = sum(images * n for images, n in counts.items()) / sum(counts.values())
    return found


def _co_occurrence(images: DataFrame, n: int) -> list[list[int]]:
    """Counts the images that have both findings of a pair; on the diagonal, those that have the one."""
    from pyspark.sql import functions as F  # noqa: N812

    one = images.select("present", F.explode("present").alias("a"))
    pairs = one.select("a", F.explode("present").alias("b")).groupBy("a", "b").count().collect()
    matrix = [[0] * n for _ in range(n)]
    for row in pairs:
        matrix[row["a"]][row["b"]] = row["count"]
    return matrix
