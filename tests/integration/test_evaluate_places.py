"""An evaluation in the driver's memory gives what the same evaluation gives on Spark, to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cxr_spark.errors import DataError
from cxr_spark.evaluation.computation import evaluate
from cxr_spark.evaluation.reading.predictions import read_predictions, with_labels
from tests.integration.test_evaluate import FINDINGS, cohort, write_scores
from tests.integration.test_evaluate_tables import CSV, LABELS, read_nih_labels, write

N = 600
SPLITS = np.array(["train", "val", "test"])[np.arange(N) % 3]


def on_driver():
    pytest.fail("few images need no Spark")


def both(spark, predictions, **options):
    """Evaluates on the driver and on Spark; returns the two evaluations."""
    settings = {"replicates": 60, "seed": 5, **options}
    return evaluate(predictions, on_driver, **settings), evaluate(predictions, lambda: spark, **settings, most_pairs=0)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Predictions with missing and blank values, patients in several splits, and ties."""
    data, rng = cohort(n=N), np.random.default_rng(1)
    columns = {
        "split": list(SPLITS),
        "sex": [None, " ", *data.sex[2:]],
        "patient_id": [None, "", *(str(patient) for patient in data.patient[2:])],
        "age": [None, float("nan"), *data.age[2:]],
        "labels": [None, *data.labels[1:]],
    }
    folder = tmp_path_factory.mktemp("places")
    uri = write_scores(folder / "scores", data, **columns)
    names = [f"{i:05d}.png" for i in range(50, N + 20)]
    before = pd.DataFrame(
        rng.random((len(names), 3)).round(2), columns=["prob_Hernia", "prob_Mass", "prob_Cardiomegaly"]
    )
    before.insert(0, "Image Index", names)
    write(folder / "before.csv", before.to_csv(index=False))
    return uri, f"file://{folder}/before.csv"


@pytest.mark.parametrize("split", [None, "test", "val"])
@pytest.mark.parametrize("compared", [False, True])
def test_every_number_and_curve_is_the_same(spark, scored, split, compared):
    uri, before = scored
    baseline = read_predictions(before) if compared else None
    one, other = both(spark, read_predictions(uri), split=split, baseline=baseline)
    assert one.metrics == other.metrics
    assert one.metrics["n_images"] == {None: N - 1, "test": N // 3, "val": N // 3}[split]
    curves = [
        [*found.curves, found.micro, *(curve for pair in found.compared for curve in pair)] for found in (one, other)
    ]
    assert len(curves[0]) == len(curves[1]) > len(FINDINGS) - 2
    for mine, theirs in zip(*curves, strict=True):
        np.testing.assert_array_equal(mine.points, theirs.points)


def test_a_softmax_with_labels_of_a_file(spark, tmp_path):
    labels = read_nih_labels(LABELS.encode(), "labels.csv")
    uri = write(tmp_path / "p.csv", CSV.replace("img1.png", "IMG1.PNG"))
    predictions = with_labels(read_predictions(uri), labels, "labels.csv")
    one, other = both(spark, predictions, task="single_label")
    assert one.metrics == other.metrics
    assert one.metrics["matched_otherwise"]["case"] == 1


@pytest.mark.parametrize(
    ("change", "split"),
    [
        (lambda text: text.splitlines()[0] + "\n", None),
        (lambda text: text + "\n".join(["", *text.splitlines()[1:3]]) + "\n", None),
        (lambda text: text.replace("img3.png,0", "img3.png,7"), None),
        (lambda text: text.replace("img", "other"), None),
        (lambda text: text, "test"),
    ],
    ids=["empty", "twice", "no probability", "no labels", "no such split"],
)
def test_what_is_refused_is_refused_in_the_same_words(spark, tmp_path, change, split):
    labels = read_nih_labels(LABELS.encode(), "labels.csv")
    uri = write(tmp_path / "p.csv", change(CSV))
    predictions = with_labels(read_predictions(uri), labels, "labels.csv")
    said = []
    for place in ({}, {"most_pairs": 0}):
        with pytest.raises(DataError) as caught:
            evaluate(predictions, lambda: spark, replicates=0, seed=1, split=split, **place)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_the_command_measures_few_images_where_there_is_no_java(scored, tmp_path):
    line = ["cxr_spark.commands.main", "evaluate", "--predictions", scored[0], "--out", str(tmp_path / "out")]
    env = {**os.environ, "JAVA_HOME": str(tmp_path), "PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", *line, "--replicates=0"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["n_images"] == N - 1
