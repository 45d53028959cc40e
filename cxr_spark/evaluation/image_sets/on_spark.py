"""Images in Spark: any number of them, and never one row for each image on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from cxr_spark.datasets.matching import WAYS
from cxr_spark.evaluation.image_sets.base import BASELINE_SCORES, MOST_VALUES, ImageCounts, ImageSet, RowFacts
from cxr_spark.evaluation.reading.groupings import CROSSINGS, GROUPINGS, SPLIT, crossed
from cxr_spark.evaluation.reading.images import ArrowFunction
from cxr_spark.runtime.spark_schema import to_spark

if TYPE_CHECKING:
    from pyspark.sql import Row


class SparkImages(ImageSet):
    """Images of a DataFrame.

    Args:
        frame: rows of `images.IMAGES`.
    """

    def __init__(self, frame: DataFrame) -> None:
        self.frame: DataFrame = frame

    @property
    def spark_version(self) -> str:
        """The version of the session."""
        return str(self.frame.sparkSession.version)

    def close(self) -> None:
        """Lets Spark forget the images."""
        self.frame.unpersist()

    def kept(self) -> SparkImages:
        """Lets Spark keep the images, in memory or on disk."""
        return SparkImages(self.frame.persist(StorageLevel.MEMORY_AND_DISK))

    def each(self, function: ArrowFunction, schema: pa.Schema, most_calls: int | None = None) -> list[dict[str, Any]]:
        """Calls the function once for each partition."""
        frame = self.frame if most_calls is None else self.frame.coalesce(most_calls)
        return [row.asDict() for row in frame.mapInArrow(function, to_spark(schema)).collect()]

    def together(self, function: ArrowFunction, schema: pa.Schema) -> list[dict[str, Any]]:
        """Calls the function in one task."""
        return [row.asDict() for row in self.frame.repartition(1).mapInArrow(function, to_spark(schema)).collect()]

    def count(self) -> int:
        """Returns the number of images."""
        return int(self.frame.count())

    def labelled(self) -> SparkImages:
        """Returns the images with labels."""
        return SparkImages(self.frame.where("labels is not null"))

    def of_split(self, split: str | None) -> SparkImages:
        """Returns the images of a split; of None all images."""
        return self if split is None else SparkImages(self.frame.where(sf.col(SPLIT) == split))

    def row_facts(self) -> RowFacts:
        """Counts in one pass."""
        found = self._first(
            sf.count("*").alias("rows"),
            sf.min("fault").alias("fault"),
            sf.count_distinct("image_index").alias("images"),
            sf.count_distinct("model_id").alias("models"),
            sf.min("model_id").alias("model_id"),
        )
        return RowFacts(**found.asDict())

    def repeated(self) -> tuple[str, int]:
        """Returns the first image name that several rows have, and how many have it."""
        twice = self.frame.groupBy("image_index").count().where("count > 1").orderBy("image_index").first()
        assert twice is not None  # asked for only where there are fewer names than rows
        return (twice["image_index"], twice["count"])

    def counts(self, split: str | None) -> ImageCounts:
        """Counts in one pass."""
        labelled = sf.col("labels").isNotNull()
        evaluated = labelled & _of(split)
        found = self._first(
            sf.count("*").alias("rows"),
            sf.count(sf.when(labelled, 1)).alias("labelled"),
            sf.count(sf.when(evaluated, 1)).alias("evaluated"),
            sf.count_distinct(sf.when(evaluated, sf.col("patient"))).alias("patients"),
            sf.count(sf.when(evaluated & ~sf.col("patient_known"), 1)).alias("without_patient"),
            sf.min("image_index").alias("first"),
            sf.collect_set(SPLIT).alias("splits"),
            sf.coalesce(sf.sum("clipped"), sf.lit(0)).alias("clipped"),
            *(sf.count(sf.when(labelled & (sf.col("matched") == way), 1)).alias(f"by_{way}") for way in WAYS),
        ).asDict()
        matched = {way: found.pop(f"by_{way}") for way in WAYS}
        return ImageCounts(**{**found, "splits": tuple(sorted(found["splits"])), "matched": matched})

    def values(self, split: str | None) -> list[tuple[str, str, int]]:
        """Counts in one pass."""
        columns = {name: sf.when(_of(split), sf.col(name)) for name in GROUPINGS}
        for name, (one, other) in CROSSINGS.items():  # null where either is
            columns[name] = sf.concat(columns[one], sf.lit(crossed("", "")), columns[other])
        columns[SPLIT] = sf.col(SPLIT)
        pairs = sf.array(
            *(sf.struct(sf.lit(name).alias("name"), value.alias("value")) for name, value in columns.items())
        )
        counted = (
            self.frame.select(sf.explode(pairs).alias("pair"))
            .where("pair.value is not null and trim(pair.value) != ''")
            .groupBy("pair.name", "pair.value")
            .count()
            .orderBy(sf.desc("count"), "name", "value")
            .limit(MOST_VALUES)
            .collect()
        )
        return [(row["name"], row["value"], row["count"]) for row in counted]

    def patients_in_several_splits(self) -> int:
        """Returns how many known patients have images in more than one split."""
        known = self.frame.where(f"patient_known and {SPLIT} is not null")
        return int(known.groupBy("patient").agg(sf.count_distinct(SPLIT).alias("n")).where("n > 1").count())

    def paired_with(self, baseline: ImageSet, places: Sequence[int], baseline_places: Sequence[int]) -> SparkImages:
        """Joins by the name of the image."""
        assert isinstance(baseline, SparkImages)
        scores = baseline.frame.select("image_index", _taken("scores", baseline_places).alias(BASELINE_SCORES))
        own = self.frame.withColumn("labels", _taken("labels", places)).withColumn("scores", _taken("scores", places))
        return SparkImages(own.join(scores, "image_index"))

    def with_baseline_scores(self) -> SparkImages:
        """Returns the images with the baseline's scores in the place of the model's own."""
        return SparkImages(self.frame.withColumn("scores", sf.col(BASELINE_SCORES)))

    def _first(self, *columns: Column) -> Row:
        found = self.frame.agg(*columns).first()
        assert found is not None  # an aggregate without groups always has one row
        return found


def _of(split: str | None) -> Column:
    """Whether a row belongs to a split; a row without one belongs to none."""
    return sf.lit(True) if split is None else sf.coalesce(sf.col(SPLIT) == split, sf.lit(False))


def _taken(column: str, places: Sequence[int]) -> Column:
    """Returns some elements of an array column."""
    return sf.array(*(sf.col(column)[place] for place in places))
