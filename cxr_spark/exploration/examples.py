"""Chooses a few images of each finding to show: the same ones in every run, and each of another patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: The most images of a finding, and of all findings together as far as each has one.
MOST_OF_A_FINDING, MOST = 8, 160


def examples_of(images: DataFrame, findings: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Chooses examples of each finding.

    They are those whose names have the smallest SHA-256, which is a draw that hangs on nothing but the names.

    Args:
        images: rows of `rows.read_rows`.
        findings: the classes, in the order of the labels.

    Returns:
        For each finding that occurs up to `MOST_OF_A_FINDING` images, fewer where there are many findings, each as
        `image_index` and `split`.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F  # noqa: N812

    number = max(1, min(MOST_OF_A_FINDING, MOST // len(findings)))
    drawn = ("hash", "image_index", "split")
    rows = images.select(
        F.explode("present").alias("finding"),
        F.coalesce("patient_id", F.concat(F.lit("\0"), "image_index")).alias("patient"),
        "image_index",
        "split",
        F.sha2(F.col("image_index").cast("binary"), 256).alias("hash"),
    )
    of_patient = rows.groupBy("finding", "patient").agg(F.min(F.struct(*drawn)).alias("first"))
    place = F.row_number().over(Window.partitionBy("finding").orderBy("first"))
    chosen = of_patient.select("finding", "first", place.alias("place")).where(F.col("place") <= number)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in findings}
    for row in sorted(chosen.collect(), key=lambda each: (each["finding"], each["place"])):
        image = {"image_index": row["first"]["image_index"], "split": row["first"]["split"]}
        found[findings[row["finding"]]].append(image)
    return {name: rows for name, rows in found.items() if rows}
