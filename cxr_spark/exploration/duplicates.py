"""Finds images whose stored pixels are the same. Spark compares hashes; a few names come to the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cxr_spark.runtime.spark_schema import to_spark
from cxr_spark.runtime.spark_tables import literal, unreadable
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import PREPARED, SPLITS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: The most groups of equal images that are named, and the most images of each.
NAMED_GROUPS, NAMED_IMAGES = 10, 4


def find_duplicates(spark: SparkSession, dataset: PreparedDataset) -> dict[str, Any]:
    """Finds images with equal pixels.

    Returns:
        A JSON value: `groups` of equal images, `images` in them, `across_splits` (groups with images of several splits:
        what a model learned by heart is then among what it is tested on), and `examples`, those across splits first,
        each a list of `image_index` and `split`.

    Raises:
        DataError: a file is damaged.
    """
    from pyspark.sql import functions as F  # noqa: N812

    files = [dataset.store.uri_of(name) for split in SPLITS for name in dataset.files(split)]
    schema = to_spark(pa.schema([PREPARED.field(name) for name in ("image_index", "pixels")])).add("split", "string")
    with unreadable(dataset.store.uri):
        rows = spark.read.schema(schema).option("basePath", dataset.store.uri_of("data")).parquet(*map(literal, files))
        image = F.struct("image_index", "split")
        equal = (
            rows.groupBy(F.sha2("pixels", 256).alias("hash"))
            .agg(
                F.count("*").alias("n"),
                F.countDistinct("split").alias("splits"),
                F.min(image).alias("first"),
                F.slice(F.array_sort(F.collect_list(image)), 1, NAMED_IMAGES).alias("named"),
            )
            .where("n > 1")
            .persist()
        )
        try:
            found = equal.agg(F.count("*"), F.sum("n"), F.sum((F.col("splits") > 1).cast("long"))).first()
            examples = equal.orderBy(F.desc("splits"), "first").select("named").limit(NAMED_GROUPS).collect()
        finally:
            equal.unpersist()
    groups, images, across = (int(value or 0) for value in found) if found else (0, 0, 0)
    return {
        "groups": groups,
        "images": images,
        "across_splits": across,
        "examples": [[each.asDict() for each in row["named"]] for row in examples],
    }
