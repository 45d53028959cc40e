"""Models of one class an image: the most probable class decides."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import (
    classification_report,
    confusion_matrix,
)

from tests.integration.test_evaluate import FINDINGS, cohort, write_scores
from tests.integration.test_evaluate_decisions import run


def single_label_scores(folder, seed, task="single_label"):
    """Writes the predictions of a model of one class an image, classes being the findings."""
    data = cohort(n=400, seed=seed, masked=0)
    truth = np.random.default_rng(8).integers(0, 5, 400)
    data.labels = np.eye(len(FINDINGS), dtype=np.float32)[truth]
    data.scores = (data.scores / 2 + 0.2 * data.labels).astype(np.float32)
    uri = write_scores(folder, data)
    done = {"summary": {"findings": list(FINDINGS), "task": task}}
    (folder / "_done.json").write_text(json.dumps(done))
    return uri, truth, data.scores.argmax(axis=1)


def test_a_softmax_is_decided_by_its_highest_probability(spark, tmp_path):
    uri, truth, predicted = single_label_scores(tmp_path / "scores", 4)
    metrics = run(spark, uri)
    assert metrics["task"] == "single_label"
    report = metrics["classification"]["most_probable"]
    every = range(len(FINDINGS))
    assert report["confusion_matrix"]["counts"] == confusion_matrix(truth, predicted, labels=every).tolist()
    theirs = classification_report(
        truth, predicted, labels=every, target_names=FINDINGS, output_dict=True, zero_division=0
    )
    for name in FINDINGS:
        assert report["findings"][name]["f1"] == pytest.approx(theirs[name]["f1-score"], abs=1e-12)
    assert report["accuracy"] == pytest.approx((truth == predicted).mean())
    assert list(run(spark, uri, task="multi_label")["classification"]) == ["0.5"]
