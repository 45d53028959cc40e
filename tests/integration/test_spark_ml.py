"""The library as its users hold it: stages, classifier and model in Spark ML Pipelines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import functions as sf

from cxr_spark.errors import ConfigError, CxrError, DataError
from cxr_spark.models.folder import load_model
from cxr_spark.scoring.predict import predict
from cxr_spark.spark_ml.classifier import ChestXRayClassifier
from cxr_spark.spark_ml.model import ChestXRayModel
from cxr_spark.spark_ml.stages import ImageNetBGR, RandomHorizontalFlip, Resize
from cxr_spark.storage.store import Store
from cxr_spark.training.checkpoints import Checkpoints
from tests.support.prepared_sets import write_prepared

FINDINGS = ["Effusion", "Mass", "No Finding"]


def classifier(tmp_path, **more):
    return ChestXRayClassifier(
        workDir=str(tmp_path / "work"),
        findings=FINDINGS,
        architecture="efficientnet_b0",
        inputSize=32,
        epochs=1,
        globalBatch=10,
        **more,
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory, spark):
    folder = write_prepared(tmp_path_factory.mktemp("ml") / "set", {"train": 40, "val": 10})
    frame = spark.read.parquet(str(folder / "data"))
    return frame.withColumn("is_validation", sf.col("split") == "val")


@pytest.fixture(scope="module")
def fitted(images, tmp_path_factory):
    """A model from a Pipeline with a random stage in it, and the folder that it worked in."""
    folder = tmp_path_factory.mktemp("fitted")
    stages = [
        Resize(size=32, inputCol="pixels", outputCol="image"),
        RandomHorizontalFlip(inputCol="image", outputCol="image"),
        ImageNetBGR(inputCol="image", outputCol="bgr"),
        classifier(folder, imageCol="bgr", validationIndicatorCol="is_validation"),
    ]
    return Pipeline(stages=stages).fit(images), folder


def probabilities(frame):
    rows = frame.select("image_index", "probabilities").toPandas().sort_values("image_index")
    return np.stack(rows["probabilities"])


def test_a_fitted_pipeline_gives_what_the_bare_network_gives(fitted, images):
    pipeline, _ = fitted
    found = probabilities(pipeline.transform(images))
    loaded = load_model(Store(pipeline.stages[-1].uri))
    rows = images.select("image_index", "pixels").toPandas().sort_values("image_index")
    pixels = np.stack([np.frombuffer(p, np.uint8).reshape(32, 32) for p in rows["pixels"]])
    expected = predict(loaded.module.to(memory_format=torch.channels_last), loaded.metadata, pixels)
    assert found.shape == (50, 3)
    np.testing.assert_allclose(found, expected, atol=2e-2)  # bf16 rounds by the batch's blocks
    assert probabilities(pipeline.transform(images)).tolist() == found.tolist()


def test_the_random_stage_runs_in_training_and_not_in_scoring(fitted):
    _, folder = fitted
    metadata = next((folder / "work").glob("run-*/model/metadata.json")).read_text()
    assert "random_horizontal_flip" in metadata


def test_a_pipeline_comes_back_from_disk(fitted, images, tmp_path):
    pipeline, _ = fitted
    pipeline.save(str(tmp_path / "a pipeline"))
    again = PipelineModel.load(str(tmp_path / "a pipeline"))
    assert again.stages[-1].findings == tuple(FINDINGS)
    assert probabilities(again.transform(images)).tolist() == probabilities(pipeline.transform(images)).tolist()


def test_the_model_folder_of_a_run_loads_both_ways(fitted, images):
    pipeline, folder = fitted
    run = next((folder / "work").glob("run-*/model"))
    model = ChestXRayModel.load(str(run)).setImageCol("pixels")
    assert model.metadata.findings == load_model(Store(str(run))).metadata.findings
    assert model.transform(images).schema["probabilities"].dataType.simpleString() == "array<float>"
    np.testing.assert_allclose(
        probabilities(model.transform(images)), probabilities(pipeline.transform(images)), atol=2e-2
    )


def test_a_classifier_and_its_params_come_back_from_disk(tmp_path):
    before = classifier(
        tmp_path,
        learningRate=3e-4,
        settings=["train.schedule.kind=cosine"],
        augmentations=[RandomHorizontalFlip(p=0.25)],
    )
    before.save(str(tmp_path / "saved"))
    after = ChestXRayClassifier.load(str(tmp_path / "saved"))
    assert after.training_settings() == before.training_settings()
    assert after.training_settings().train.learning_rate == 3e-4
    assert after.training_settings().train.augmentations == ({"random_horizontal_flip": {"p": 0.25}},)


def test_fitting_the_same_again_takes_up_what_is_there(fitted, images, caplog):
    _, folder = fitted
    runs = sorted((folder / "work").glob("run-*/checkpoints/manifest.json"))
    before = runs[0].stat().st_mtime_ns
    again = classifier(
        folder, imageCol="pixels", validationIndicatorCol="is_validation", augmentations=[RandomHorizontalFlip()]
    ).fit(images)
    assert sorted((folder / "work").glob("run-*/checkpoints/manifest.json")) == runs
    assert runs[0].stat().st_mtime_ns == before
    assert len(list((folder / "work").glob("data-*"))) == 1
    assert Checkpoints(Store(str(runs[0].parent))).load().progress.finished
    assert again.uri.endswith("/model")


def test_masked_labels_and_a_raw_frame_are_enough(spark, tmp_path):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "image_index": [f"{i}.png" for i in range(12)],
            "pixels": [draw.integers(0, 255, 32 * 32, dtype=np.uint8).tobytes() for _ in range(12)],
            "labels": [[1.0, float("nan"), 0.0] for _ in range(12)],
        }
    )
    model = classifier(tmp_path).fit(spark.createDataFrame(frame))
    assert probabilities(model.transform(spark.createDataFrame(frame))).shape == (12, 3)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda df: df.limit(0), "no rows"),
        (lambda df: df.drop("labels"), "no column 'labels'"),
        (lambda df: df.withColumn("labels", sf.lit("x")), "expected array<float>"),
        (lambda df: df.withColumn("pixels", sf.lit(b"123")), "expected square"),
        (lambda df: df.withColumn("labels", sf.array(sf.lit(1.0))), "1 labels a row and 3 findings"),
        (lambda df: df.drop("image_index"), "imageIndexCol"),
        (lambda df: df.withColumn("pixels", sf.lit(None).cast("binary")), "no image"),
    ],
)
def test_frames_that_cannot_work_are_refused_with_the_reason(images, tmp_path, change, match):
    with pytest.raises(DataError, match=match):
        classifier(tmp_path).fit(change(images))
    assert not list((tmp_path / "work").glob("data-*/manifest.json"))


def test_params_are_checked_when_they_are_set(tmp_path):
    with pytest.raises(ConfigError, match="epochs"):
        classifier(tmp_path).setParams(epochs=0)
    with pytest.raises(ConfigError, match="random stages"):
        ChestXRayClassifier(workDir="x", augmentations=["flip"])
    with pytest.raises(CxrError, match="workDir is not set"):
        ChestXRayClassifier().fit(None)
