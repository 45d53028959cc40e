"""Random stages, alone on a DataFrame and in a Pipeline, against the kernels that the trainer runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pyspark.ml import Pipeline, PipelineModel, Transformer

from cxr_spark.augmentation import kernels
from cxr_spark.augmentation.building import augment
from cxr_spark.augmentation.draws import image_keys
from cxr_spark.spark_ml.stages import (
    CenterCrop,
    ImageNetBGR,
    RandomCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
)
from cxr_spark.spark_ml.stages.base import RandomStageModel
from cxr_spark.spark_ml.stages.metadata import ImageColumn, image_column, pending_augmentations
from tests.support.stage_frames import HEIGHT, RANDOM, WIDTH, grey, images_frame, pipeline, stacked


def names(n: int) -> list[str]:
    return [f"{i:08d}.png" for i in range(n)]


@pytest.mark.parametrize("stage", RANDOM, ids=lambda stage: type(stage).__name__)
def test_a_random_stage_alone_equals_its_kernel_and_varies_by_epoch_and_seed(stage, pixels):
    batch, keys = torch.from_numpy(grey(40)), image_keys(names(40))
    result = stacked(stage.transform(pixels))
    np.testing.assert_array_equal(result, stage.kernel()(batch, keys, 3, 0).numpy())
    np.testing.assert_array_equal(stacked(stage.transform(pixels.repartition(3))), result)
    later = stacked(stage.transform(pixels, {stage.epoch: 1}))
    np.testing.assert_array_equal(later, stage.kernel()(batch, keys, 3, 1).numpy())
    assert (later != result).any()
    assert (stacked(stage.copy({stage.seed: 4}).transform(pixels)) != result).any()


@pytest.mark.parametrize("stage", RANDOM, ids=lambda stage: type(stage).__name__)
def test_the_network_s_input_is_augmented_like_the_grey_image_behind_it(stage, pixels):
    before = ImageNetBGR().transform(stage.transform(pixels))
    after = stage.transform(ImageNetBGR().transform(pixels))
    np.testing.assert_array_equal(stacked(after), stacked(before))


def test_a_vertical_flip_turns_upside_down(pixels):
    turned = RandomVerticalFlip(p=1).transform(pixels)
    np.testing.assert_array_equal(stacked(turned), grey(40)[:, ::-1])


def test_the_flip_rate_is_p(spark):
    images = [np.array([[0, 255], [0, 255]], np.uint8)] * 3000
    frame = images_frame(spark, images, ImageColumn((2, 2)))
    first = stacked(RandomHorizontalFlip(p=0.3).transform(frame))[:, 0, 0] == 255
    second = stacked(RandomHorizontalFlip(p=0.3, epoch=1).transform(frame))[:, 0, 0] == 255
    assert abs(first.mean() - 0.3) < 0.035  # 4 standard errors
    assert abs(second.mean() - 0.3) < 0.035
    assert 0.3 < (first != second).mean() < 0.54  # 2 p (1 - p) = 0.42 where epochs are independent


def test_a_fitted_pipeline_draws_nothing_and_leaves_the_augmentations_to_the_classifier(pixels):
    flip, crop = RandomHorizontalFlip(p=0.3), RandomCrop(size=20)
    fitted = pipeline(flip, crop, RandomHorizontalFlip(p=0.9)).fit(pixels)
    frame = fitted.transform(pixels)
    plain = pipeline().fit(pixels).transform(pixels)
    for column in ("pixels", "features"):
        np.testing.assert_array_equal(stacked(frame, column), stacked(plain, column))
        np.testing.assert_array_equal(stacked(fitted.transform(pixels), column), stacked(frame, column))
    pending = pending_augmentations(frame.schema["features"])
    assert [a.name for a in pending] == ["random_horizontal_flip", "random_crop", "random_horizontal_flip"]
    assert [a.stream for a in pending] == [0, 0, 1]
    assert pending[1] == crop.kernel()
    assert pending_augmentations(plain.schema["features"]) == []


def test_what_the_trainer_makes_of_a_pipeline_s_output_equals_the_stages_alone(pixels):
    stages = [RandomHorizontalFlip(seed=5, epoch=2), RandomCrop(size=20, seed=5, epoch=2)]
    frame = pipeline(*stages).fit(pixels).transform(pixels)
    grey_again = kernels.grey_from_bgr(torch.from_numpy(stacked(frame, "features")))
    pending = pending_augmentations(frame.schema["features"])
    trained_on = kernels.imagenet_bgr(augment(grey_again, pending, image_keys(names(40)), seed=5, epoch=2))
    alone = Resize(size=22).transform(pixels)
    for stage in (*stages, ImageNetBGR()):
        alone = stage.transform(alone)
    np.testing.assert_array_equal(trained_on.numpy(), stacked(alone))


def test_random_stages_are_no_transformers(pixels):
    for stage in RANDOM:
        assert not isinstance(stage, Transformer)
        assert isinstance(stage.fit(pixels), RandomStageModel)


def test_pipelines_and_models_survive_save_and_load(pixels, tmp_path):
    unfitted = pipeline(*RANDOM)
    unfitted.save(f"file://{tmp_path}/unfitted")
    fitted = unfitted.fit(pixels)
    fitted.save(f"file://{tmp_path}/fitted")
    expected = fitted.transform(pixels)
    for loaded in (
        PipelineModel.load(f"file://{tmp_path}/fitted"),
        Pipeline.load(f"file://{tmp_path}/unfitted").fit(pixels),
    ):
        frame = loaded.transform(pixels)
        np.testing.assert_array_equal(stacked(frame, "features"), stacked(expected, "features"))
        assert frame.schema["features"].metadata == expected.schema["features"].metadata


@pytest.mark.parametrize(
    "stage",
    [*RANDOM, Resize(size=9, mode="pad"), CenterCrop(size=9), ImageNetBGR()],
    ids=lambda stage: type(stage).__name__,
)
def test_each_stage_survives_save_load_and_copy_with_its_params(stage, tmp_path):
    stage = stage.copy().setInputCol("in").setOutputCol("out").setHandleInvalid("keep")
    stage.save(f"file://{tmp_path}/stage")
    loaded = type(stage).load(f"file://{tmp_path}/stage")
    for other in (loaded, stage.copy()):
        assert other.uid == stage.uid
        assert {p.name: other.getOrDefault(p) for p in other.params} == {
            p.name: stage.getOrDefault(p) for p in stage.params
        }


def test_stages_after_one_another_run_in_one_python_pass(files):
    fitted = Pipeline(stages=[Resize(inputCol="content", size=32), CenterCrop(size=24), ImageNetBGR()]).fit(files)
    plan = fitted.transform(files).select("pixels")._jdf.queryExecution().executedPlan().toString()
    assert plan.count("ArrowEvalPython") == 1


def test_metadata_survives_parquet(pixels, tmp_path):
    RandomHorizontalFlip().fit(pixels).transform(pixels).write.parquet(f"file://{tmp_path}/data")
    frame = pixels.sparkSession.read.parquet(f"file://{tmp_path}/data")
    assert image_column(frame.schema, "pixels").size == (HEIGHT, WIDTH)
    assert len(pending_augmentations(frame.schema["pixels"])) == 1
