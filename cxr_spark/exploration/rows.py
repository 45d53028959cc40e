"""Reads what is counted of each image of a prepared dataset: all columns but the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from cxr_spark.errors import DataError
from cxr_spark.runtime.spark_schema import to_spark
from cxr_spark.runtime.spark_tables import literal
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import PREPARED, SPLITS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_COLUMNS = ("image_index", "patient_id", "view_position", "sex", "age", "labels", "height", "width")


def classes(findings: Sequence[str]) -> tuple[str, ...]:
    """Returns the classes that images are counted by: the findings and, where there is only one, its absence.

    >>> classes(["Pneumonia"])
    ('Pneumonia', 'no Pneumonia')
    """
    return (*findings, f"no {findings[0]}") if len(findings) == 1 else tuple(findings)


def read_rows(spark: SparkSession, dataset: PreparedDataset) -> DataFrame:
    """Reads all columns but the pixels. Labels become two lists of numbers: present and unknown findings.

    The files are those that the manifest names. Whatever else lies beside them is not part of the dataset.
    """
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    files = [dataset.store.uri_of(name) for split in SPLITS for name in dataset.files(split)]
    if not files:
        raise DataError(f"{dataset.store.uri} has no images in any split: prepare it again with --overwrite")
    schema = to_spark(pa.schema([PREPARED.field(name) for name in _COLUMNS])).add("split", "string")
    base = dataset.store.uri_of("data")
    rows = spark.read.schema(schema).option("basePath", base).parquet(*map(literal, files))
    if len(dataset.findings) == 1:  # NaN stays what it is
        rows = rows.withColumn("labels", F.expr("flatten(array(labels, transform(labels, label -> 1 - label)))"))
    return rows.select(
        "split",
        "image_index",
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
