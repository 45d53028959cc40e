"""Temperature scaling, ECE and Brier score against scikit-learn."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from cxr_spark.evaluation.calibration.bins import BINS, BinCounter, CellCounter
from cxr_spark.evaluation.calibration.measure import _numbers
from cxr_spark.evaluation.calibration.temperature import Temperatures, fit_temperatures, logits_of, scaled
from cxr_spark.evaluation.reading.images import IMAGES


def overconfident(n=6000, sharpness=2.5, seed=0):
    """Logits that are too far from 0 by a factor, and labels drawn by the true probabilities; one label is unknown."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 1.2, n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-logits))).astype(float)
    labels[7] = np.nan
    return labels, 1 / (1 + np.exp(-sharpness * logits))


def batches(labels, scores, parts):
    """Rows of checked images in several batches."""
    for rows in np.array_split(np.arange(len(labels)), parts):
        columns = {name: pa.nulls(len(rows), IMAGES.field(name).type) for name in IMAGES.names}
        columns["labels"] = pa.array(labels[rows].tolist(), IMAGES.field("labels").type)
        columns["scores"] = pa.array(scores[rows].tolist(), IMAGES.field("scores").type)
        yield pa.RecordBatch.from_arrays(list(columns.values()), schema=IMAGES)


def counted(counter, labels, scores, parts=1):
    rows = [row for batch in counter(batches(labels, scores, parts)) for row in batch.to_pylist()]
    return np.frombuffer(rows[0]["counted"], np.int64).reshape(counter.shape)


def test_the_temperature_is_that_of_a_regression_on_the_logit():
    labels, scores = overconfident()
    found = fit_temperatures(*counted(CellCounter(1), labels[:, None], scores[:, None], 3))
    known = ~np.isnan(labels)
    theirs = LogisticRegression(fit_intercept=False, C=1e9, tol=1e-9)
    theirs.fit(np.log(scores / (1 - scores))[known, None], labels[known])
    assert found[0] == pytest.approx(1 / theirs.coef_[0, 0], rel=1e-4)
    assert 2.3 < found[0] < 2.7


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([0, 0, 0], [0.1, 0.2, 0.3]),
        ([1, 1, 1], [0.1, 0.2, 0.3]),
        ([0, 0, 1], [0.1, 0.2, 0.9]),
        ([1, 1, 0], [0.1, 0.2, 0.9]),
        ([np.nan, np.nan, np.nan], [0.1, 0.2, 0.9]),
    ],
    ids=["no positive", "no negative", "divided without fault", "the wrong way round", "nothing known"],
)
def test_no_temperature_where_none_is_best(labels, scores):
    labels, scores = np.array(labels, float)[:, None], np.array(scores)[:, None]
    assert fit_temperatures(*counted(CellCounter(1), labels, scores)) == [None]


def test_bins_ece_and_brier_equal_sklearn_before_and_after_scaling():
    labels, scores = overconfident()
    scores[:3] = 0.0, 1.0, 0.3  # the ends, and an edge of the bins
    before, after = counted(BinCounter(1, Temperatures([2.5])), labels[:, None], scores[:, None], 4)
    known = ~np.isnan(labels)
    for found, probabilities in ((before, scores), (after, scaled(scores[:, None], np.array([2.5]))[:, 0])):
        numbers, truth, predicted = _numbers(found[0]), labels[known], probabilities[known]
        assert numbers["brier"] == pytest.approx(brier_score_loss(truth, predicted), abs=1e-11)
        fraction, mean = calibration_curve(truth, predicted, n_bins=BINS)
        assert [row["fraction_positive"] for row in numbers["reliability"]] == pytest.approx(fraction, abs=1e-11)
        assert [row["mean_probability"] for row in numbers["reliability"]] == pytest.approx(mean, abs=1e-11)
        images = np.array([row["n_images"] for row in numbers["reliability"]])
        assert images.sum() == known.sum()
        assert numbers["ece"] == pytest.approx(np.average(abs(fraction - mean), weights=images), abs=1e-11)
    assert _numbers(after[0])["ece"] < 0.3 * _numbers(before[0])["ece"]


def test_no_digit_depends_on_batches_or_their_order():
    labels, scores = overconfident(500)
    order = np.random.default_rng(1).permutation(500)
    counter = BinCounter(1, Temperatures([1.7]))
    one = counted(counter, labels[:, None], scores[:, None])
    assert (one == counted(counter, labels[order, None], scores[order, None], 5)).all()


def test_scaling_is_division_of_the_logit():
    probabilities = np.array([[0.2, 0.9], [0.5, 0.99]])
    found = scaled(probabilities, np.array([2.0, 0.5]))
    np.testing.assert_allclose(logits_of(found), logits_of(probabilities) / [2.0, 0.5])


def test_a_finding_without_known_labels_has_no_numbers():
    assert _numbers(np.zeros((4, BINS), np.int64)) == {"brier": None, "ece": None, "reliability": []}
