"""A table of predictions as another tool would write it, its labels, and the AUCs that scikit-learn gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.evaluation.computation import evaluate
from cxr_spark.evaluation.reading.predictions import read_predictions, with_labels

HEADER = "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position\n"
LABELS = HEADER + "".join(
    f"img{i}.png,{'Mass|Edema' if i % 3 == 0 else 'Mass' if i % 3 == 1 else 'No Finding'},{i // 2},{20 + i},M,PA\n"
    for i in range(30)
)
MASS = np.array([i % 3 != 2 for i in range(30)])
NONE = ~MASS
RNG = np.random.default_rng(2)
SCORES = pd.DataFrame(
    {
        "Image Index": [f"img{i}.png" for i in range(30)],
        "prob_No Finding": (RNG.random(30) + 0.3 * NONE).round(1) / 2,
        "prob_Mass": (RNG.random(30) + 0.3 * MASS).round(1) / 2,
        "note": "not, used",
    }
)


def run(spark, uri, labels=LABELS):
    table = read_nih_labels(labels.encode(), "labels.csv")
    return evaluate(
        with_labels(read_predictions(uri), table, "labels.csv"), lambda: spark, replicates=0, seed=1
    ).metrics


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return f"file://{path}"  # as a user writes it: nothing is percent-encoded


def check(metrics):
    assert list(metrics["findings"]) == ["No Finding", "Mass"]
    for name, truth in (("Mass", MASS), ("No Finding", NONE)):
        expected = roc_auc_score(truth, SCORES[f"prob_{name}"])
        assert metrics["findings"][name]["auc"] == pytest.approx(expected, abs=1e-12)


CSV = SCORES.to_csv(index=False)
