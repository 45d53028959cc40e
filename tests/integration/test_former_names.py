"""Spark ML pipelines that version 0.1 saved: their metadata name the classes by the modules of that time."""

import json

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel

from cxr_spark.spark_ml.classifier import ChestXRayClassifier
from cxr_spark.spark_ml.model import ChestXRayModel
from cxr_spark.spark_ml.stages import RandomAffine, RandomBrightness, RandomCrop, RandomHorizontalFlip, Resize
from tests.support.prepared_sets import write_prepared
from tests.support.small_model import write_model

COLUMNS = {"outputCol": "pixels", "inputCol": "pixels", "handleInvalid": "error"}
DRAWS = {**COLUMNS, "imageIndexCol": "image_index", "seed": 0, "epoch": 0}
#: Class, Params that were set and their defaults, as version 0.1 wrote them.
STAGES = [
    (
        "cxr_spark.stages.resize.Resize",
        {"size": 32, "mode": "pad"},
        {**COLUMNS, "size": 224, "mode": "squash", "imageIndexCol": "image_index"},
    ),
    ("cxr_spark.stages.flip.RandomHorizontalFlip", {"p": 0.25}, {**DRAWS, "p": 0.5}),
    (
        "cxr_spark.stages.affine.RandomAffine",
        {"degrees": 5.0, "zoom": [0.9, 1.1], "seed": 4},
        {**DRAWS, "degrees": 0.0, "shift": 0.0, "shear": 0.0, "zoom": [1.0, 1.0]},
    ),
    ("cxr_spark.stages.brightness.RandomBrightness", {"factor": 0.1}, {**DRAWS, "factor": 0.2}),
    ("cxr_spark.stages.crop.RandomCrop", {"size": 28}, {**DRAWS, "size": 224}),
    (
        "cxr_spark.training.estimator.ChestXRayClassifier",
        {"workDir": "/nowhere", "findings": ["Effusion", "Mass"], "architecture": "efficientnet_b0", "epochs": 2},
        {
            "imageCol": "pixels",
            "labelsCol": "labels",
            "imageIndexCol": "image_index",
            "probabilitiesCol": "probabilities",
            "handleInvalid": "error",
            "findings": [],
            "augmentations": [],
            "settings": [],
        },
    ),
]
MODEL_DEFAULTS = {"imageCol": "pixels", "probabilitiesCol": "probabilities", "handleInvalid": "error"}


def write_metadata(folder, name, uid, params, defaults):
    (folder / "metadata").mkdir(parents=True)
    entry = {
        "class": name,
        "timestamp": 1764000000000,
        "sparkVersion": "3.5.9",
        "uid": uid,
        "paramMap": params,
        "defaultParamMap": defaults,
    }
    (folder / "metadata" / "part-00000").write_text(json.dumps(entry) + "\n")
    (folder / "metadata" / "_SUCCESS").write_text("")


def write_pipeline(folder, name, stages):
    """Writes a pipeline as Spark ML does and returns the folders of its stages."""
    uids = [f"{stage[0].rpartition('.')[2]}_{i:012x}" for i, stage in enumerate(stages)]
    write_metadata(folder, name, "Pipeline_998d1aa5486d", {"stageUids": uids, "language": "Python"}, {})
    folders = [folder / "stages" / f"{i}_{uid}" for i, uid in enumerate(uids)]
    for where, uid, stage in zip(folders, uids, stages, strict=True):
        write_metadata(where, stage[0], uid, *stage[1:])
    return folders


def test_a_pipeline_of_version_0_1_loads_with_its_params(spark, tmp_path):
    write_pipeline(tmp_path / "saved", "pyspark.ml.pipeline.Pipeline", STAGES)
    stages = Pipeline.load(f"file://{tmp_path}/saved").getStages()
    kinds = [Resize, RandomHorizontalFlip, RandomAffine, RandomBrightness, RandomCrop, ChestXRayClassifier]
    for stage, kind, (_, params, defaults) in zip(stages, kinds, STAGES, strict=True):
        assert isinstance(stage, kind)
        found = {param.name: value for param, value in stage.extractParamMap().items()}
        assert found == {**defaults, **params}
        assert {param.name for param in stage.params if stage.isSet(param)} == set(params)
    resaved = tmp_path / "again"
    Pipeline(stages=stages).save(f"file://{resaved}")
    names = [
        json.loads(next((folder / "metadata").glob("part-*")).read_text())["class"]
        for folder in sorted((resaved / "stages").iterdir())
    ]
    assert names[0] == "cxr_spark.spark_ml.stages.resize.Resize"
    assert names[-1] == "cxr_spark.spark_ml.classifier.ChestXRayClassifier"


@pytest.mark.parametrize("former", [True, False])
def test_a_fitted_pipeline_loads_by_its_former_and_by_its_present_names(spark, tmp_path, former):
    stages, model = ("cxr_spark.stages", "cxr_spark.scoring.spark_model")
    if not former:
        stages, model = ("cxr_spark.spark_ml.stages", "cxr_spark.spark_ml.model")
    folders = write_pipeline(
        tmp_path / "saved",
        "pyspark.ml.pipeline.PipelineModel",
        [
            (f"{stages}.resize.Resize", {"size": 32}, STAGES[0][2]),
            (
                f"{stages}.base.RandomStageModel",
                {"augmentation": '{"name": "random_horizontal_flip"}'},
                {"outputCol": "pixels", "inputCol": "pixels"},
            ),
            (f"{model}.ChestXRayModel", {}, MODEL_DEFAULTS),
        ],
    )
    write_model(folders[-1])
    data = spark.read.parquet(str(write_prepared(tmp_path / "set", {"test": 5}) / "data"))
    loaded = PipelineModel.load(f"file://{tmp_path}/saved")
    assert isinstance(loaded.stages[-1], ChestXRayModel)
    rows = loaded.transform(data).select("image_index", "probabilities").toPandas().sort_values("image_index")
    alone = ChestXRayModel(f"file://{folders[-1]}").transform(data).toPandas().sort_values("image_index")
    np.testing.assert_allclose(np.stack(rows["probabilities"]), np.stack(alone["probabilities"]), atol=2e-2)
