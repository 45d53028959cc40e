"""Calibration of whole sets of images: isotonic regression against scikit-learn, means, and what the reader is told."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from cxr_spark.config import Settings
from cxr_spark.errors import UsageError
from cxr_spark.evaluation.calibration.bins import BinCounter, CellCounter
from cxr_spark.evaluation.calibration.doubts import doubts_of
from cxr_spark.evaluation.calibration.isotonic import IsotonicCurves
from cxr_spark.evaluation.calibration.measure import calibration_of
from cxr_spark.evaluation.image_sets.on_driver import DriverImages
from cxr_spark.evaluation.job import EvaluateJob
from cxr_spark.evaluation.report.tables import _calibration
from tests.unit.evaluation.calibration.test_calibration import batches, counted

FINDINGS = ["Mass", "Edema"]
PAGE = (Path(__file__).resolve().parents[4] / "docs" / "calibration.md").read_text()


def weighted(n, seed, shift=2.2):
    """Scores as those of a loss with class weights, too high by a shift of the logit; one label is not known."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-3, 1.5, (n, 2)).round(1)
    labels = (rng.random((n, 2)) < 1 / (1 + np.exp(-logits))).astype(float)
    labels[3, 0] = np.nan
    return labels, 1 / (1 + np.exp(-logits - shift))


def images(labels, scores):
    return DriverImages(pa.Table.from_batches(batches(labels, scores, 3)))


def measured(held_out, evaluated, method="isotonic"):
    return calibration_of(images(*evaluated), None if held_out is None else images(*held_out), FINDINGS, method)


@pytest.fixture(scope="module")
def held_out():
    return weighted(4000, seed=1)


@pytest.fixture(scope="module")
def evaluated():
    return weighted(3000, seed=2)


def test_curve_brier_and_ece_before_and_after_are_sklearns(held_out, evaluated):
    found = measured(held_out, evaluated)
    for place, name in enumerate(FINDINGS):
        (held, held_scores), (truth, scores) = (
            (labels[known, place], scores[known, place])
            for labels, scores in (held_out, evaluated)
            for known in [~np.isnan(labels[:, place])]
        )
        theirs = IsotonicRegression(out_of_bounds="clip").fit(np.log(held_scores / (1 - held_scores)), held)
        after = theirs.predict(np.log(scores / (1 - scores)))
        row = found["findings"][name]
        assert (row["fitted_positive"], row["fitted_negative"]) == (held.sum(), (1 - held).sum())
        for suffix, probabilities, near in (("", scores, 1e-9), ("_scaled", after, 2e-4)):  # cells are 0.004 wide
            assert row[f"brier{suffix}"] == pytest.approx(brier_score_loss(truth, probabilities), abs=near)
            fraction, mean = calibration_curve(truth, probabilities, n_bins=10)
            counts = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], probabilities), minlength=10)
            ece = np.average(abs(fraction - mean), weights=counts[counts > 0])
            assert row[f"ece{suffix}"] == pytest.approx(ece, abs=max(near, 1e-4))
        assert row["ece_scaled"] < 0.2 * row["ece"]
        assert row["levels"] == np.unique(theirs.y_thresholds_).size
        curve = row["isotonic"]
        again = np.interp(np.log(scores / (1 - scores)), curve["logits"], curve["probabilities"])
        np.testing.assert_allclose(again, after, atol=0.01)
        assert row["temperature"] is None


def test_a_shift_of_the_logit_is_mended_by_the_curve_and_not_by_a_temperature(held_out, evaluated):
    curve, temperature = (measured(held_out, evaluated, method)["macro"] for method in ("isotonic", "temperature"))
    assert curve["ece_scaled"] < 0.3 * temperature["ece_scaled"]


def test_scores_that_fall_with_the_finding_have_one_level(evaluated):
    labels, scores = weighted(4000, seed=1)
    found = measured((1 - labels, scores), evaluated)["findings"]["Edema"]
    assert found["levels"] == 1
    assert found["isotonic"]["probabilities"][0] == pytest.approx(1 - labels[:, 1].mean())


@pytest.mark.parametrize("method", ["isotonic", "temperature"])
def test_the_mean_says_how_many_findings_it_is_of(held_out, evaluated, method):
    labels, scores = held_out
    alone = labels.copy()
    alone[:, 1] = 0  # no validation image has Edema
    found = measured((alone, scores), evaluated, method)
    mass, edema = (found["findings"][name] for name in FINDINGS)
    assert (edema["fitted"], edema["ece_scaled"], edema["brier_scaled"]) == (False, None, None)
    last = _calibration(found).rows[-1]
    assert last.cells[0] == f"mean of the 1 with a {'curve' if method == 'isotonic' else 'temperature'}"
    assert last.cells[1:] == (mass["brier"], mass["ece"], "", mass["brier_scaled"], mass["ece_scaled"])
    assert found["macro"]["ece"] == pytest.approx((mass["ece"] + edema["ece"]) / 2)
    assert found["macro"]["ece_scaled"] is None
    assert found["macro_fitted"]["findings_used"] == ["Mass"]
    whole = measured(held_out, evaluated, method)
    assert _calibration(whole).rows[-1].cells[0] == "mean"
    assert whole["macro"]["ece_scaled"] == whole["macro_fitted"]["ece_scaled"]


def test_a_curve_of_few_images_is_told_with_their_number(held_out, evaluated):
    labels, scores = held_out
    assert list(doubts_of(measured(held_out, evaluated))) == []
    few = labels.copy()
    few[np.flatnonzero(labels[:, 0] == 1)[12:], 0] = 0
    (told,) = doubts_of(measured((few, scores), evaluated))
    assert "Mass (12 with it, 3,987 without)" in told
    assert "Edema" not in told
    assert list(doubts_of(measured((few, scores), evaluated, "temperature"))) == []
    (told,) = doubts_of(measured((labels[:900], scores[:900]), evaluated))
    assert "Mass" in told
    assert "Edema" in told


def test_findings_without_a_curve_are_named(held_out, evaluated):
    labels, scores = held_out
    alone = labels.copy()
    alone[:, 1] = 0  # no validation image has Edema
    (told,) = doubts_of(measured((alone, scores), evaluated))
    assert "not fitted for Edema" in told
    assert "Mass" not in told
    assert list(doubts_of(measured((alone, scores), evaluated, "temperature"))) == []


def test_a_curve_that_cannot_be_fitted_is_told(evaluated):
    (told,) = doubts_of(measured(None, evaluated))
    assert "nothing was fitted" in told
    assert list(doubts_of(measured(None, evaluated, "temperature"))) == []


def test_executors_apply_the_curves_without_scikit_learn(held_out, monkeypatch):
    fitted = IsotonicCurves.fitted(*counted(CellCounter(2), *held_out))
    here = fitted(held_out[1])
    sent = pickle.dumps(BinCounter(2, fitted))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.isotonic", None)
    np.testing.assert_array_equal(pickle.loads(sent).fitted(held_out[1]), here)
    with pytest.raises(ImportError):
        IsotonicCurves.fitted(*counted(CellCounter(2), *held_out))


def test_scikit_learn_is_asked_for_before_the_job(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"calibration=isotonic needs scikit-learn.*cxr-spark\[calibration\]"):
        EvaluateJob.from_options(Settings(), predictions="/none", out="/none/out", calibration="isotonic")
    EvaluateJob.from_options(Settings(), predictions="/none", out="/none/out", calibration="temperature")


@pytest.mark.parametrize("method", ["isotonic", "temperature"])
def test_docs_describe_every_field(held_out, evaluated, method):
    found = measured(held_out, evaluated, method)
    fields = {*found, *found["macro_fitted"], *found["macro"]}
    for row in found["findings"].values():
        fields |= {*row, *row["reliability"][0], *(row["isotonic"] or ())}
    assert fields <= set(re.findall(r"`(\w+)`", PAGE))
