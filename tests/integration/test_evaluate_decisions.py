"""Decisions, splits side by side and baselines, through Spark, against scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    brier_score_loss,
    f1_score,
    roc_auc_score,
    roc_curve,
)

from cxr_spark.commands import main as cli
from cxr_spark.errors import DataError
from cxr_spark.evaluation.computation import evaluate
from cxr_spark.evaluation.reading.predictions import read_predictions
from tests.integration.test_evaluate import FINDINGS, cohort, write_scores
from tests.unit.evaluation.paired.test_delong import slow_delong

SPLITS = np.array(["train", "val", "test"])


def split_cohort(seed=3):
    data = cohort(n=600, seed=seed)
    data.split = SPLITS[np.arange(600) % 3]
    data.labels[:, 3] = (np.arange(600) // 3) % 2  # both classes everywhere
    data.labels[data.split == "val", 2] = 0  # no threshold to be chosen for Hernia
    return data


def run(spark, uri, **options):
    return evaluate(read_predictions(uri), lambda: spark, **{"replicates": 0, "seed": 1, **options}).metrics


def best_threshold(truth, scores):
    return max(np.unique(scores), key=lambda t: (round(f1_score(truth, scores >= t), 12), t))


@pytest.fixture(scope="module")
def data():
    return split_cohort()


@pytest.fixture(scope="module")
def scored(data, tmp_path_factory):
    return write_scores(tmp_path_factory.mktemp("scored") / "scores", data, files=3, split=list(data.split))


@pytest.fixture(scope="module")
def metrics(spark, scored):
    return run(spark, scored, split="test")


def known(data, i, split):
    there = ~np.isnan(data.labels[:, i]) & (data.split == split)
    return data.labels[there, i], data.scores[there, i].astype(float)


def test_numbers_are_of_the_split_and_the_others_stand_beside(metrics, data):
    assert (metrics["split"], metrics["n_images"], metrics["images_by_split"]) == ("test", 200, {"test": 200})
    assert metrics["n_patients"] == len(set(data.patient[data.split == "test"]))
    for i, name in enumerate(FINDINGS):
        for split in SPLITS:
            truth, scores = known(data, i, split)
            expected = pytest.approx(roc_auc_score(truth, scores), abs=1e-12) if 0 < truth.mean() < 1 else None
            assert metrics["splits"][split]["findings"][name]["auc"] == expected
        assert metrics["findings"][name]["auc"] == metrics["splits"]["test"]["findings"][name]["auc"]
    assert "split" not in metrics["subgroups"]
    inside = data.split == "test"
    assert metrics["subgroups"]["sex"]["F"]["n_images"] == ((data.sex == "F") & inside).sum()
    assert not any("training split" in warning for warning in metrics["warnings"])


def test_thresholds_are_chosen_on_validation_and_applied_to_the_test_images(metrics, data):
    report = metrics["classification"]["validation"]["findings"]
    for i, name in enumerate(FINDINGS):
        truth, scores = known(data, i, "val")
        chosen = best_threshold(truth, scores) if 0 < truth.mean() < 1 else 0.5
        assert report[name]["threshold"] == chosen
        truth, scores = known(data, i, "test")
        assert report[name]["f1"] == pytest.approx(f1_score(truth, scores >= chosen, zero_division=0), abs=1e-12)
    unchosen = metrics["classification"]["validation"]["threshold_not_chosen"]
    assert "Hernia" in unchosen
    assert any("Hernia" in warning and "0.5" in warning for warning in metrics["warnings"])


def test_thresholds_for_a_sensitivity_or_specificity_come_from_validation(metrics, data):
    points = metrics["operating_points"]["points"]
    for i, name in enumerate(FINDINGS):
        held, held_scores = known(data, i, "val")
        truth, scores = known(data, i, "test")
        false, true, thresholds = roc_curve(held, held_scores, drop_intermediate=False)
        for rule, place in (("sensitivity_95", np.argmax(true >= 0.95)), ("specificity_90", (false <= 0.1).sum() - 1)):
            found = points[rule][name]
            if not 0 < held.mean() < 1:
                assert found["threshold"] is None
                assert found["sensitivity"] is None
                continue
            assert found["threshold"] == (thresholds[place] if np.isfinite(thresholds[place]) else None)
            if found["threshold"] is not None:
                called = scores >= found["threshold"]
                assert found["specificity"] == pytest.approx((~called)[truth == 0].mean())
                assert found["ppv"] == pytest.approx(truth[called].mean())
                if truth.any():
                    assert found["sensitivity"] == pytest.approx(called[truth == 1].mean())


def clipped_logit(probabilities):
    with np.errstate(divide="ignore"):
        return np.clip(np.log(probabilities) - np.log1p(-probabilities), -18, 18)


def test_calibration_is_that_of_sklearn_with_temperatures_of_the_validation_images(metrics, data):
    for i, name in enumerate(FINDINGS):
        found, (truth, scores) = metrics["calibration"]["findings"][name], known(data, i, "test")
        assert found["brier"] == pytest.approx(brier_score_loss(truth, scores), abs=1e-11)
        held, held_scores = known(data, i, "val")
        if not 0 < held.mean() < 1:
            assert found["temperature"] is None
            continue
        logit = clipped_logit(held_scores)
        fitted = LogisticRegression(fit_intercept=False, C=1e9, tol=1e-9).fit(logit[:, None], held).coef_[0, 0]
        if fitted < 0.01:
            assert found["temperature"] is None
            continue
        assert found["temperature"] == pytest.approx(1 / fitted, rel=1e-3)
        logit = clipped_logit(scores)
        assert found["brier_scaled"] == pytest.approx(
            brier_score_loss(truth, 1 / (1 + np.exp(-logit * fitted))), abs=1e-4
        )


def test_f1_at_one_half_equals_sklearn(metrics, data):
    for i, name in enumerate(FINDINGS):
        truth, scores = known(data, i, "test")
        found = metrics["classification"]["0.5"]["findings"][name]
        assert found["f1"] == pytest.approx(f1_score(truth, scores >= 0.5, zero_division=0), abs=1e-12)
        assert found["support"] == truth.sum()


def test_all_images_have_no_threshold_of_validation(spark, scored):
    metrics = run(spark, scored)
    assert list(metrics["classification"]) == ["0.5"]
    assert metrics["operating_points"] is None
    assert metrics["calibration"]["fitted_on"] is None


def test_a_split_that_is_not_there_is_told(spark, data, tmp_path):
    uri = write_scores(tmp_path / "scores", data)
    with pytest.raises(DataError, match="no labelled images of split 'val'"):
        run(spark, uri, split="val")


def test_baseline_is_compared_on_the_images_that_both_have(spark, scored, data, tmp_path):
    other = split_cohort(seed=6).scores[:, ::-1]  # other findings first
    keep = np.arange(600) % 7 != 0
    table = pd.DataFrame({f"prob_{name}": other[keep, i] for i, name in enumerate(FINDINGS[:4])})
    table.insert(0, "Image Index", [f"{i:05d}.png" for i in np.flatnonzero(keep)])
    table.to_csv(tmp_path / "before.csv", index=False)
    baseline = read_predictions(f"file://{tmp_path}/before.csv")
    metrics = run(spark, scored, split="test", baseline=baseline, replicates=300)
    found = metrics["comparison"]
    both = keep & (data.split == "test")
    assert (found["n_images"], found["images_not_in_baseline"]) == (both.sum(), 200 - both.sum())
    assert list(found["findings"]) == list(FINDINGS[:4])
    for i, name in enumerate(FINDINGS[:4]):
        there = both & ~np.isnan(data.labels[:, i])
        truth, row = data.labels[there, i], found["findings"][name]
        expected = [roc_auc_score(truth, scores[there, i]) for scores in (data.scores, other)]
        assert [row["auc"], row["auc_baseline"]] == pytest.approx(expected, abs=1e-12)
        assert row["auc_difference"] == pytest.approx(expected[0] - expected[1], abs=1e-12)
        f1 = []
        for scores in (data.scores, other):
            on = keep & (data.split == "val") & ~np.isnan(data.labels[:, i])
            held, values = data.labels[on, i], scores[:, i].astype(float)
            chosen = best_threshold(held, values[on]) if 0 < held.mean() < 1 else 0.5
            f1.append(f1_score(truth, values[there] >= chosen, zero_division=0))
        assert [row["f1"], row["f1_baseline"]] == pytest.approx(f1, abs=1e-12)
    low, high = found["findings"]["Mass"]["auc_difference_ci95"]
    assert low < found["findings"]["Mass"]["auc_difference"] < high
    macro = np.mean([row["auc_difference"] for row in found["findings"].values()])
    assert found["macro"]["auc_difference"] == pytest.approx(macro, abs=1e-12)
    assert found["macro_without_no_finding"] is None  # there is no such finding in the baseline
    check_p_values(found, data, other, both)
    assert metrics["n_images"] == 200  # the evaluation itself is of all
    point = metrics["operating_points"]["points"]["youden"]["Mass"]
    low, high = point["sensitivity_ci95"]
    assert low < point["sensitivity"] < high


def check_p_values(found, data, other, both):
    """DeLong's test and the images named, by their definitions; Holm's correction is at least the p-value."""
    for i, name in enumerate(FINDINGS[:4]):
        there = both & ~np.isnan(data.labels[:, i])
        truth, row = data.labels[there, i] == 1, found["findings"][name]
        difference, variance = slow_delong(data.scores[there, i].astype(float), other[there, i].astype(float), truth)
        assert row["p_delong"] == pytest.approx(2 * norm.sf(abs(difference) / np.sqrt(variance)), abs=1e-9)
        assert 0 < row["p_bootstrap"] <= row["p_bootstrap_holm"] <= 1
        apart = np.abs(data.scores[:, i].astype(float) - other[:, i].astype(float))
        largest = np.sort(apart[there])[::-1][:3]
        named = found["disagreements"][name]
        assert [abs(row["probability"] - row["probability_baseline"]) for row in named] == pytest.approx(largest)
        assert all(
            apart[int(row["image_index"][:5])] == pytest.approx(d) for row, d in zip(named, largest, strict=True)
        )


def test_a_model_beside_itself_differs_by_nothing(spark, scored):
    baseline = read_predictions(scored)
    found = run(spark, scored, split="test", baseline=baseline, replicates=50)["comparison"]
    assert found["macro"]["auc_difference"] == 0
    assert found["macro"]["auc_difference_ci95"] == [0, 0]
    assert found["macro"]["f1_difference"] == 0
    others = [row["auc"] for name, row in found["findings"].items() if name != "No Finding"]
    assert len(others) == len(FINDINGS) - 1
    assert found["macro_without_no_finding"]["auc"] == pytest.approx(np.nanmean(np.array(others, float)), abs=1e-12)
    assert found["macro_without_no_finding"]["auc_difference_ci95"] == [0, 0]
    assert found["findings"]["Mass"]["p_delong_holm"] == found["findings"]["Mass"]["p_bootstrap"] == 1
    assert found["disagreements"]["Mass"] == []


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("Image Index,prob_Mass\nelse.png,0.5\n", "none of the 200 evaluated images"),
        ("Image Index,prob_Other\n00002.png,0.5\n", "expected a finding of these"),
        ("Image Index,prob_Mass\n00002.png,5\n", "expected a probability"),
    ],
)
def test_faulty_baselines(spark, scored, tmp_path, table, said):
    (tmp_path / "before.csv").write_text(table)
    with pytest.raises(DataError, match=said):
        run(spark, scored, split="test", baseline=read_predictions(f"file://{tmp_path}/before.csv"))


def test_command_with_split_and_baseline(spark, scored, tmp_path):
    line = ["evaluate", "--predictions", scored, "--baseline", scored, "--split", "test", "--replicates", "20"]
    assert cli.main([*line, "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["comparison"]["findings"]["Mass"]["auc_difference"] == 0
    assert (tmp_path / "out" / "confusion_matrix.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "out" / "report.html").read_text()
    for heading in ("Beside the baseline", "Splits", "at thresholds chosen on the validation images"):
        assert heading in page
