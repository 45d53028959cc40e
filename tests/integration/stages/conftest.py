"""DataFrames of images for the tests of stages."""

from __future__ import annotations

import pytest
from PIL import Image

from cxr_spark.spark_ml.stages.metadata import ImageColumn
from tests.support.stage_frames import HEIGHT, WIDTH, grey, images_frame


@pytest.fixture(scope="module")
def pixels(spark):
    return images_frame(spark, grey(40), ImageColumn((HEIGHT, WIDTH))).cache()


@pytest.fixture(scope="module")
def files(spark, tmp_path_factory):
    """Real image files of several kinds, read the way users read them."""
    folder = tmp_path_factory.mktemp("files")
    for i, image in enumerate(grey(4, 50, 61)):
        Image.fromarray(image).save(folder / f"grey {i}.png")
    Image.fromarray(grey(1, 64, 64)[0]).convert("RGB").save(folder / "photo.jpg", quality=95)
    return spark.read.format("binaryFile").load(f"file://{folder}")
