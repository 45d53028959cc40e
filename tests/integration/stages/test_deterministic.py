"""Stages that draw nothing, against OpenCV and PIL: they resize images and take their means off."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image

from cxr_spark.spark_ml.stages import (
    CenterCrop,
    ImageNetBGR,
    Resize,
)
from cxr_spark.spark_ml.stages.metadata import ImageColumn
from tests.support.stage_frames import grey, images_frame, stacked


def test_resize_of_files_equals_opencv(files):
    frame = Resize(inputCol="content", size=32).transform(files)
    for row in frame.collect():
        expected = cv2.resize(
            cv2.imread(row.path.removeprefix("file:"), cv2.IMREAD_GRAYSCALE), (32, 32), interpolation=cv2.INTER_AREA
        )
        result = np.frombuffer(row.pixels, np.uint8).reshape(32, 32)
        assert np.abs(result.astype(int) - expected).max() <= (2 if row.path.endswith("jpg") else 0)
    assert frame.schema["pixels"].metadata == {"cxr": {"dtype": "uint8", "shape": [32, 32]}}


def test_halving_an_image_averages_four_pixels_as_pil_does(spark):
    frame = images_frame(spark, grey(5, 32, 32), ImageColumn((32, 32)))
    result = stacked(Resize(size=16).transform(frame))
    for image, small in zip(grey(5, 32, 32), result, strict=True):
        reference = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BOX))
        assert np.abs(small.astype(int) - reference).max() <= 1


def test_enlarging_equals_opencv_and_modes_differ(pixels):
    result = stacked(Resize(size=48).transform(pixels))
    for image, large in zip(grey(40), result, strict=True):
        np.testing.assert_array_equal(large, cv2.resize(image, (48, 48), interpolation=cv2.INTER_LINEAR))
    padded = stacked(Resize(size=24, mode="pad").transform(pixels))
    np.testing.assert_array_equal(padded[:, 2:22], grey(40))
    assert not padded[:, :2].any()
    cropped = stacked(Resize(size=20, mode="crop").transform(pixels))
    np.testing.assert_array_equal(cropped, grey(40)[:, :, 2:22])


def test_bgr_has_the_known_order_and_means(spark):
    image = np.zeros((4, 4), np.uint8)
    image[1, 2] = 200
    frame = ImageNetBGR(outputCol="features").transform(images_frame(spark, [image], ImageColumn((4, 4))))
    features = stacked(frame, "features")[0]
    assert features.shape == (3, 4, 4)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[:, 1, 2], [200 - 103.939, 200 - 116.779, 200 - 123.68], rtol=1e-6)
    np.testing.assert_allclose(features[:, 0, 0], [-103.939, -116.779, -123.68], rtol=1e-6)
    assert frame.columns == ["image_index", "pixels", "features"], "the input column stays"


def test_the_dataframe_route_equals_the_kernels(pixels):
    stages = [Resize(size=22), CenterCrop(size=18), ImageNetBGR()]
    batch = torch.from_numpy(grey(40))
    frame = pixels
    for stage in stages:
        frame, batch = stage.transform(frame), stage.kernel()(batch)
    np.testing.assert_array_equal(stacked(frame), batch.numpy())
