"""Counts how images are spread over the values of a column, over ages, over patients and over pairs of findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cxr_spark.tables.schema import SPLITS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: Years that a bar of the histogram of ages spans.
AGE_BIN = 5
#: The name, in counts, of a value that is null.
NOT_KNOWN = "not known"
#: The most values of a column that are counted one by one; a label file with more views or sexes is damaged.
_MAX_VALUES = 20

#: Split to value to number of images.
Counts = dict[str, dict[str, int]]


def value_counts(images: DataFrame, name: str) -> Counts:
    """Counts the values of a column by split, the most frequent first."""
    from pyspark.sql import functions as F  # noqa: N812

    value = F.coalesce(F.col(name), F.lit(NOT_KNOWN)).alias("value")
    rows = images.groupBy("split", value).count().orderBy(F.desc("count"), "value").limit(_MAX_VALUES * len(SPLITS))
    found: Counts = {}
    for row in rows.collect():
        found.setdefault(row["split"], {})[row["value"]] = row["count"]
    return found


def age_histogram(images: DataFrame) -> Counts:
    """Counts images by split and age. The name of a bin is the age at which it begins."""
    from pyspark.sql import functions as F  # noqa: N812

    start = (F.floor(F.col("age") / AGE_BIN) * AGE_BIN).alias("start")
    rows = images.where("age is not null").groupBy("split", start).count().orderBy("start").collect()
    found: Counts = {}
    for row in rows:
        found.setdefault(row["split"], {})[str(row["start"])] = row["count"]
    return found


def images_per_patient(images: DataFrame) -> dict[str, dict[str, Any]]:
    """Counts the patients of each split by their number of images."""
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


def co_occurrence(images: DataFrame, n: int) -> list[list[int]]:
    """Counts the images that have both findings of each pair. The diagonal counts the images with that finding."""
    from pyspark.sql import functions as F  # noqa: N812

    one = images.select("present", F.explode("present").alias("a"))
    pairs = one.select("a", F.explode("present").alias("b")).groupBy("a", "b").count().collect()
    matrix = [[0] * n for _ in range(n)]
    for row in pairs:
        matrix[row["a"]][row["b"]] = row["count"]
    return matrix


def findings_by_view(images: DataFrame, findings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Counts the images of each view position, and those with each finding among them, the most frequent view first."""
    from pyspark.sql import functions as F  # noqa: N812

    view = F.coalesce(F.col("view_position"), F.lit(NOT_KNOWN)).alias("view")
    counted = images.groupBy(view).count().orderBy(F.desc("count"), "view").limit(_MAX_VALUES).collect()
    present = images.select(view, F.explode("present").alias("finding")).groupBy("view", "finding").count().collect()
    found: dict[str, dict[str, Any]] = {
        row["view"]: {"images": row["count"], "findings": dict.fromkeys(findings, 0)} for row in counted
    }
    for row in present:
        if row["view"] in found:
            found[row["view"]]["findings"][findings[row["finding"]]] = row["count"]
    return found
