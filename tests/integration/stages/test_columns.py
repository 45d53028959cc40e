"""Columns of images: their names, and the batches in which Spark sends them to Python."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import pyspark
import pytest
import torch
from pyspark.sql import functions as sf

from cxr_spark.augmentation import kernels
from cxr_spark.spark_ml.stages import (
    CenterCrop,
    ImageNetBGR,
    RandomHorizontalFlip,
    Resize,
)
from cxr_spark.spark_ml.stages.dataframe import map_column
from cxr_spark.spark_ml.stages.execution import Source
from cxr_spark.spark_ml.stages.metadata import ImageColumn, image_column
from tests.support.stage_frames import HEIGHT, WIDTH, grey, images_frame, pipeline, stacked

SPARK_3 = pyspark.__version__.startswith("3.")


BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"


def test_without_metadata_pixels_are_taken_for_squares(spark):
    frame = images_frame(spark, grey(6, 18, 18))
    flipped = RandomHorizontalFlip(p=1).transform(ImageNetBGR(outputCol="features").transform(frame))
    np.testing.assert_array_equal(stacked(flipped), grey(6, 18, 18)[:, :, ::-1])
    np.testing.assert_array_equal(
        stacked(flipped, "features"), kernels.imagenet_bgr(torch.from_numpy(grey(6, 18, 18))).numpy()
    )
    np.testing.assert_array_equal(stacked(CenterCrop(size=4).transform(frame)), grey(6, 18, 18)[:, 7:11, 7:11])


def test_the_image_s_name_is_the_base_name_of_path_where_there_is_no_index(files):
    resized = Resize(inputCol="content", size=8).transform(files)
    by_path = RandomHorizontalFlip().transform(resized).select("path", "pixels").collect()
    named = resized.withColumn("name", sf.element_at(sf.split("path", "/"), -1)).drop("path")
    by_name = RandomHorizontalFlip(imageIndexCol="name").transform(named).select("name", "pixels").collect()
    assert {row.path.rsplit("/", 1)[1]: row.pixels for row in by_path} == {row.name: row.pixels for row in by_name}


def test_odd_column_names_work(pixels):
    odd = "a.b `c`"
    frame = CenterCrop(outputCol=odd, size=11).transform(pixels)
    result = RandomHorizontalFlip(inputCol=odd, outputCol=odd, p=1).transform(frame).withColumnRenamed(odd, "odd")
    np.testing.assert_array_equal(stacked(result, "odd"), grey(40)[:, 4:15, 6:17][:, :, ::-1])


def test_an_empty_dataframe_stays_empty(pixels):
    empty = pixels.limit(0)
    frame = pipeline(RandomHorizontalFlip()).fit(empty).transform(empty)
    assert frame.count() == 0
    assert image_column(frame.schema, "features").size == (22, 22)
    assert RandomHorizontalFlip().transform(empty).count() == 0


@pytest.fixture
def rows_of_a_batch(pixels) -> Iterator[Callable[[int], None]]:
    """Sets the session's limit of rows in an Arrow batch, and puts it back in the end."""
    conf = pixels.sparkSession.conf
    before = conf.get(BATCH_ROWS)
    yield lambda rows: conf.set(BATCH_ROWS, rows)
    conf.set(BATCH_ROWS, before)


@pytest.mark.skipif(SPARK_3, reason="Spark 3.5 has no limit of a batch's bytes, so the limit of its rows is lowered")
def test_the_session_stays_as_it_is(pixels, rows_of_a_batch):
    rows_of_a_batch(10_000)
    conf = {row["key"]: row["value"] for row in pixels.sparkSession.sql("SET").collect()}
    assert Resize(size=1024).transform(pixels).count() == 40
    assert {row["key"]: row["value"] for row in pixels.sparkSession.sql("SET").collect()} == conf


@pytest.mark.skipif(SPARK_3, reason="Spark 3.5 has no limit of a batch's bytes, so the limit of its rows is lowered")
def test_results_that_are_larger_than_images_come_in_small_batches(spark, rows_of_a_batch):
    """The rows of 64 MiB of images of 4,096 x 4,096 bytes are 4; those of small ones are more than there are here."""
    rows_of_a_batch(10_000)
    images = images_frame(spark, grey(40), ImageColumn((HEIGHT, WIDTH)))
    source = Source("pixels", image_column(images.schema, "pixels"), "error")

    def rows_at_once(values: np.ndarray) -> np.ndarray:
        return np.array([bytes([len(values)])] * len(values), dtype=object)

    def largest(output: ImageColumn) -> int:
        frame = map_column(images, rows_at_once, [images["pixels"]], source, "rows", output)
        return max(row["rows"][0] for row in frame.select("rows").collect())

    assert largest(ImageColumn(size=(4096, 4096))) == 4
    assert largest(ImageColumn(size=(30, 30))) == 40


@pytest.mark.skipif(not SPARK_3, reason="Spark 4 limits the bytes of a batch itself")
def test_arrow_batches_are_made_small_enough_for_images(pixels, caplog, rows_of_a_batch):
    conf = pixels.sparkSession.conf
    rows_of_a_batch(10_000)
    with caplog.at_level(logging.INFO, logger="cxr_spark.spark_ml.stages"):
        Resize(size=1024).transform(pixels)
    assert int(conf.get(BATCH_ROWS)) == 64
    assert "lowered from 10000 to 64" in caplog.text
    rows_of_a_batch(7)
    Resize(size=1024).transform(pixels)
    assert int(conf.get(BATCH_ROWS)) == 7, "what is small enough is left alone"
