"""The evaluator against scikit-learn, and Spark's own model selection with the classifier."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder, TrainValidationSplit
from sklearn.metrics import average_precision_score, roc_auc_score

from cxr_spark import ChestXRayClassifier, ChestXRayEvaluator, patient_folds
from cxr_spark.errors import ConfigError, DataError
from tests.support.prepared_sets import write_prepared

N, K = 400, 4


@pytest.fixture(scope="module")
def scored():
    """Labels of which some are not known, one finding that never occurs, and scores with many ties."""
    rng = np.random.default_rng(3)
    labels = (rng.random((N, K)) < 0.2).astype(np.float32)
    labels[:, 3] = 0
    scores = np.round(rng.random((N, K)) + 0.3 * labels, 2).astype(np.float32)
    labels[rng.random((N, K)) < 0.1] = np.nan
    return labels, scores


def frame_of(spark, labels, scores):
    rows = [(x.tolist(), y.tolist()) for x, y in zip(labels, scores, strict=True)]
    return spark.createDataFrame(rows, "labels array<float>, probabilities array<float>").repartition(3)


def expected(labels, scores, average, measure):
    known = ~np.isnan(labels)
    if average == "micro":
        return measure(labels[known], scores[known])
    return np.mean([measure(labels[known[:, k], k], scores[known[:, k], k]) for k in range(3)])


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize(("name", "measure"), [("auc", roc_auc_score), ("average_precision", average_precision_score)])
def test_it_gives_what_scikit_learn_gives(spark, scored, average, name, measure):
    evaluator = ChestXRayEvaluator(metricName=f"{average}_{name}")
    assert evaluator.isLargerBetter()
    found = evaluator.evaluate(frame_of(spark, *scored))
    assert found == pytest.approx(expected(*scored, average, measure), abs=1e-12)


def test_a_metric_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="metricName='auc': expected one of macro_auc"):
        ChestXRayEvaluator(metricName="auc")


def test_it_comes_back_from_disk(tmp_path, spark):
    ChestXRayEvaluator(metricName="micro_auc").save(str(tmp_path / "e"))
    again = ChestXRayEvaluator.load(str(tmp_path / "e"))
    assert again.getOrDefault(again.metricName) == "micro_auc"


@pytest.mark.parametrize(
    ("labels", "scores", "told"),
    [
        ([[1.0]], [[0.5]], "macro_auc of 1 images is not defined"),
        ([[1.0], [0.0]], [[0.5], [float("nan")]], "'probabilities' holds a value that is not a number"),
        ([[2.0], [0.0]], [[0.5], [0.5]], "'labels' holds a value other than 0, 1 and NaN"),
        ([[1.0], [0.0]], [[0.5], [0.5, 0.5]], "differ in length"),
    ],
)
def test_faulty_values_are_told(spark, labels, scores, told):
    frame = spark.createDataFrame(
        list(zip(labels, scores, strict=True)), "labels array<float>, probabilities array<float>"
    )
    with pytest.raises(DataError, match=told):
        ChestXRayEvaluator().evaluate(frame)


def test_a_missing_column_is_told(spark):
    with pytest.raises(DataError, match="'labels' is not among id"):
        ChestXRayEvaluator().evaluate(spark.range(3))


def test_folds_keep_a_patient_together(spark):
    rows = [(f"p{i % 40}" if i % 7 else None, f"i{i}") for i in range(400)]
    folds = patient_folds(spark.createDataFrame(rows, "patient_id string, image_index string"), 3).toPandas()
    assert set(folds["fold"]) == {0, 1, 2}
    known = folds.dropna(subset="patient_id")
    assert (known.groupby("patient_id")["fold"].nunique() == 1).all()
    assert folds[folds["patient_id"].isna()]["fold"].nunique() == 3  # each is a patient of its own
    with pytest.raises(DataError, match="no column 'who'"):
        patient_folds(spark.range(3), 3, patientCol="who")


def classifier_in(folder):
    return ChestXRayClassifier(
        workDir=str(folder),
        findings=["Effusion", "Mass", "No Finding"],
        architecture="efficientnet_b0",
        inputSize=32,
        epochs=1,
        globalBatch=10,
        settings=["train.augmentations=[]"],
    )


def test_cross_validation_works_with_the_classifier(spark, tmp_path):
    folder = write_prepared(tmp_path / "set", {"train": 40})
    images = patient_folds(spark.read.parquet(str(folder / "data")), 2)
    classifier = classifier_in(tmp_path / "work")
    grid = ParamGridBuilder().addGrid(classifier.learningRate, [1e-3, 1e-5]).build()
    evaluator = ChestXRayEvaluator(metricName="micro_auc")
    found = CrossValidator(
        estimator=classifier, estimatorParamMaps=grid, evaluator=evaluator, numFolds=2, foldCol="fold"
    ).fit(images)
    assert len(found.avgMetrics) == 2
    assert all(0 <= metric <= 1 for metric in found.avgMetrics)
    assert 0 <= evaluator.evaluate(found.bestModel.transform(images)) <= 1


def test_a_train_validation_split_takes_the_better_learning_rate(spark, tmp_path):
    """A learning rate of 1e-12 leaves the network as it was made, so both models differ and their order is known."""
    folder = write_prepared(tmp_path / "set", {"train": 40})
    images = spark.read.parquet(str(folder / "data")).cache()
    classifier = classifier_in(tmp_path / "work")
    rates = [1e-12, 1e-3]
    found = TrainValidationSplit(
        estimator=classifier,
        estimatorParamMaps=ParamGridBuilder().addGrid(classifier.learningRate, rates).build(),
        evaluator=ChestXRayEvaluator(metricName="micro_auc"),
        trainRatio=0.5,
        seed=1,
    ).fit(images)
    assert all(0 <= metric <= 1 for metric in found.validationMetrics)
    better = rates[int(np.argmax(found.validationMetrics))]
    assert found.bestModel.metadata.training["train"]["learning_rate"] == better
