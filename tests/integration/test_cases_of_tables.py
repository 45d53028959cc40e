"""Small tables that went wrong for people who do this job, each with what is right.

They lie in the folder that CXR_CASES names; where there is none these tests are skipped, and say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from sklearn.metrics import roc_auc_score

from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.errors import DataError
from cxr_spark.evaluation.computation import evaluate
from cxr_spark.evaluation.reading.predictions import read_predictions, with_labels
from tests.support.cases import prepare, rows_of

pytestmark = pytest.mark.usefixtures("spark")

#: Those of NIH's findings that the labels of `not_parquet_messages` and its like name at all.
FINDINGS = ("Infiltration", "Effusion", "Mass", "No Finding")


def auc_of(case: Path, predictions: pd.DataFrame) -> dict[str, float]:
    """The AUCs of those findings that both have, by scikit-learn; images are in the order of the label file."""
    labels = pd.read_csv(case / "in/labels.csv", index_col=False)["Finding Labels"].str.split("|")
    truth = {name: labels.apply(lambda found, name=name: name in found) for name in FINDINGS}
    return {name: roc_auc_score(truth[name], predictions[f"prob_{name}"]) for name in FINDINGS}


def metrics_of(spark: SparkSession, case: Path, name: str) -> dict[str, Any]:
    """What the evaluation measures, without its plots and pages."""
    labels = read_nih_labels((case / "in/labels.csv").read_bytes(), "labels.csv")
    predictions = read_predictions(f"file://{case}/in/{name}")
    return evaluate(with_labels(predictions, labels, "labels.csv"), lambda: spark, replicates=0, seed=1).metrics


def aucs(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {finding: metrics["findings"][finding]["auc"] for finding in FINDINGS}


def test_colon_in_name(spark, case):
    name = "preds_2024-05-01T12:00:00.csv"
    assert aucs(metrics_of(spark, case, name)) == pytest.approx(
        auc_of(case, pd.read_csv(case / "in" / name)), abs=1e-12
    )


def test_not_parquet_messages(spark, case):
    expected = auc_of(case, pd.read_csv(case / "in/p.txt"))
    for name in ("p.txt", "p.tsv"):
        assert aucs(metrics_of(spark, case, name)) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(DataError, match="is JSON") as error:
        metrics_of(spark, case, "p.json")
    assert "\n" not in str(error.value)


def test_names_differ_message(spark, case):
    for name in ("noext.csv", "jpg.csv", "win.csv"):
        predictions = pd.read_csv(case / "in" / name)
        names = predictions["Image Index"].str.replace(r".*\\|\.[a-z]+$", "", regex=True)
        labelled = pd.read_csv(case / "in/labels.csv", index_col=False)["Image Index"].str.removesuffix(".png")
        predictions = predictions.set_index(names).loc[labelled].reset_index(drop=True)
        metrics = metrics_of(spark, case, name)
        assert aucs(metrics) == pytest.approx(auc_of(case, predictions), abs=1e-12)
        assert any("images were matched with their labels" in line for line in metrics["warnings"])


def test_csv_hints(case, tmp_path):
    """Excel's first line through the whole job, the other separators through its reader of labels."""
    original = read_nih_labels((case / "in/Data_Entry_2017.csv").read_bytes(), "Data_Entry_2017.csv").table
    for name in ("sep.csv", "semi.csv", "tab.csv"):
        assert read_nih_labels((case / name).read_bytes(), name).table.equals(original)
    prepare(tmp_path, images=str(case / "in/images"), labels=str(case / "sep.csv"), split="patient")
    found = rows_of(tmp_path)[["patient_id", "age", "labels"]]
    expected = original.to_pandas().set_index("image_index")[["patient_id", "age", "labels"]]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
