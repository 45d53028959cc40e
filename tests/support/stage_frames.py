"""DataFrames of images for the stages of Spark ML, and what stands in their columns as arrays."""

from __future__ import annotations

import numpy as np
from pyspark.ml import Pipeline

from cxr_spark.spark_ml.stages import (
    ImageNetBGR,
    RandomAffine,
    RandomBrightness,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
    TrivialAugment,
)
from cxr_spark.spark_ml.stages.metadata import image_column

HEIGHT, WIDTH = 20, 24


RANDOM = [
    RandomHorizontalFlip(p=0.5, seed=3),
    RandomVerticalFlip(p=0.5, seed=3),
    RandomCrop(size=16, seed=3),
    RandomAffine(degrees=15, shift=0.1, shear=5, zoom=[0.9, 1.2], seed=3),
    RandomBrightness(factor=0.3, seed=3),
    RandomErasing(p=0.7, area=[0.1, 0.3], value=20, seed=3),
    TrivialAugment(degrees=20, seed=3),
]


def grey(n: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (n, height, width), dtype=np.uint8)


def images_frame(spark, images, content=None):
    rows = [(f"{i:08d}.png", None if image is None else bytearray(bytes(image))) for i, image in enumerate(images)]
    frame = spark.createDataFrame(rows, "image_index string, pixels binary").coalesce(1)
    return frame if content is None else frame.withMetadata("pixels", content.to_metadata())


def arrays(frame, column="pixels"):
    """The images of a column by name, decoded by what its metadata says."""
    content = image_column(frame.schema, column)
    rows = frame.select("image_index", column).collect()
    return {
        row[0]: np.frombuffer(row[1], content.dtype).reshape(content.shape_of(len(row[1])))
        for row in sorted(rows, key=lambda row: row[0])
    }


def stacked(frame, column="pixels"):
    return np.stack(list(arrays(frame, column).values()))


def pipeline(*random_stages):
    return Pipeline(stages=[Resize(size=22), *random_stages, ImageNetBGR(outputCol="features")])
