"""One probability of many: against numpy, scipy's logit and scikit-learn's calibration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from scipy.stats import percentileofscore
from sklearn.calibration import _SigmoidCalibration

from cxr_spark.scoring.combining import Combination
from cxr_spark.scoring.platt import fit_platt
from cxr_spark.scoring.reference import fit_all

FINDINGS = ("Effusion", "Mass", "Hernia")


@pytest.fixture
def members() -> list[np.ndarray]:
    draw = np.random.default_rng(5)
    return [draw.random((50, 3)).astype(np.float32) for _ in range(3)]


def test_one_member_alone_is_as_it_is(members) -> None:
    assert Combination()(members[:1]) is members[0]


def test_mean_of_probabilities(members) -> None:
    found = Combination()(members)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.mean(members, axis=0), atol=1e-6)


def test_mean_of_logits(members) -> None:
    members[0][0, 0], members[1][1, 1] = 1.0, 0.0  # where logits are infinite
    expected = expit(np.mean([logit(m.astype(np.float64).clip(1e-7, 1 - 1e-7)) for m in members], axis=0))
    np.testing.assert_allclose(Combination("logits")(members), expected, atol=1e-6)


def test_mean_of_logits_of_one_softmax(members) -> None:
    raw = [np.random.default_rng(i).normal(size=(20, 3)) for i in range(2)]
    found = Combination("logits", one_softmax=True)([softmax(r, axis=1).astype(np.float32) for r in raw])
    np.testing.assert_allclose(found, softmax(np.mean(raw, axis=0), axis=1), atol=1e-6)


def test_mean_of_ranks(members) -> None:
    members = [m.round(1) for m in members]  # with many ties
    reference = tuple(
        np.sort(np.random.default_rng(i).random((40, 3)).round(1).astype(np.float32), 0) for i in (7, 8, 9)
    )
    expected = np.zeros((50, 3))
    for member, known in zip(members, reference, strict=True):
        for k in range(3):
            expected[:, k] += [percentileofscore(known[:, k], value, "mean") / 300 for value in member[:, k]]
    np.testing.assert_allclose(Combination("ranks", reference=reference)(members), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_platt_is_scikit_learns(scale) -> None:
    draw = np.random.default_rng(2)
    values = draw.normal(2, 1.5, 400)
    labels = (draw.random(400) < expit(0.6 * values - 2)).astype(float)
    theirs = _SigmoidCalibration().fit(scale * values, labels)  # sigmoid(-(a x + b))
    slope, offset = fit_platt(scale * values, labels)
    np.testing.assert_allclose([slope * scale, offset], [-theirs.a_ * scale, -theirs.b_], rtol=2e-3, atol=2e-3)


def test_platt_of_separated_and_of_equal_logits_is_finite() -> None:
    labels = np.array([0.0] * 5 + [1.0] * 5)
    slope, offset = fit_platt(np.arange(10.0), labels)
    assert 0 < slope < 100
    assert np.isfinite(offset)
    slope, offset = fit_platt(np.full(10, 3.0), labels)
    assert expit(slope * 3 + offset) == pytest.approx(0.5)


def test_calibration_takes_known_labels_only_and_leaves_alone_what_tells_nothing(caplog) -> None:
    draw = np.random.default_rng(4)
    truth = (draw.random((300, 3)) < 0.3).astype(np.float32)
    good = expit(draw.normal(0, 1, (300, 3)) + 2 * truth - 1).astype(np.float32)
    good[:, 1] = 1 - good[:, 1]  # knows the opposite
    labels = truth.copy()
    labels[:, 2] = 0
    labels[:50, 0] = np.nan
    fitted = fit_all(np.stack([good]), labels, FINDINGS)
    expected = fit_platt(logit(good[50:, 0].astype(np.float64)), truth[50:, 0].astype(float))
    np.testing.assert_allclose(fitted[0, 0], expected, rtol=1e-5)
    assert fitted[0, 1].tolist() == fitted[0, 2].tolist() == [1, 0]
    assert "Mass is not calibrated for model 1" in caplog.text
    assert "Hernia is not calibrated" in caplog.text


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_calibrated_members_are_averaged(members, average) -> None:
    platt = np.random.default_rng(1).uniform(0.5, 2, (3, 3, 2))
    scaled = [p[:, 0] * logit(m.astype(np.float64)) + p[:, 1] for m, p in zip(members, platt, strict=True)]
    expected = np.mean(expit(scaled), axis=0) if average == "probabilities" else expit(np.mean(scaled, axis=0))
    np.testing.assert_allclose(Combination(average, platt=platt)(members), expected, atol=1e-6)
