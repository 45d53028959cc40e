"""The session that loads Spark's classes for the archive: `class_archive` runs this module in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from pyspark.sql import SparkSession, functions

#: The number of seconds in which the JVM writes the archive when it ends.
_SECONDS = 300


def use_spark(folder: Path) -> None:
    """Does a little of all that the jobs ask of Spark, so that its classes are loaded."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", str(folder))
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .getOrCreate()
    )
    frame = spark.createDataFrame(pd.DataFrame({"name": ["a", "b", "c"], "value": [1.0, 2.0, 3.0]}))
    mapped = frame.mapInArrow(lambda batches: batches, frame.schema)
    table = str(folder / "table")
    mapped.repartition(2, "name").sortWithinPartitions("name").write.parquet(table)
    frame.write.option("header", True).csv(str(folder / "csv"))
    spark.read.option("header", True).csv(str(folder / "csv")).count()
    read = spark.read.parquet(table)
    read.join(frame.withColumnRenamed("value", "other"), "name").where(functions.col("other") > 1).collect()
    read.groupBy("name").agg(functions.sum("value"), functions.count("*")).toPandas()
    spark.sparkContext.parallelize(range(4), 2).map(str).collect()
    process = spark.sparkContext._gateway.proc
    spark.stop()
    process.stdin.close()  # the JVM ends when this is closed, and writes the archive then
    process.wait(_SECONDS)


if __name__ == "__main__":
    use_spark(Path(sys.argv[1]))
