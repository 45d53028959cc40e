"""The page of an evaluation: its values, curves and tables."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from cxr_spark.evaluation.decisions.operating_points import POINTS
from cxr_spark.evaluation.report import metrics
from cxr_spark.evaluation.report.movable import MovablePoint
from cxr_spark.evaluation.report.page import render
from cxr_spark.evaluation.report.panels import panels_of, precision_recall_path, roc_path
from cxr_spark.evaluation.report.plots import RocCurve
from cxr_spark.evaluation.report.tables import tables_of
from cxr_spark.reporting.tables import as_csv
from tests.support.evaluations import HOSTILE, all_metrics, calibration, curve, page, subgroup


def points_of(curves):
    counts = dict.fromkeys(("true_positives", "false_positives", "false_negatives", "true_negatives"), 7)
    shares = dict.fromkeys(("sensitivity", "specificity", "ppv", "npv"), 0.8765)
    intervals = {f"{name}_ci95": [0.8, 0.9] for name in shares}
    return {
        "chosen_on": "val",
        "points": {
            rule: {name: {"threshold": 0.25, **shares, **intervals, **counts} for name in curves} for rule in POINTS
        },
    }


def test_every_value_is_escaped_and_the_page_needs_nothing_else():
    parsed, text = page({HOSTILE: curve()}, model={"architecture": HOSTILE})
    assert parsed.tags.count("script") == 1  # the page's own, which the policy names by its hash
    assert text.count(HOSTILE) >= 5  # finding, subgroup, model, its hash, predictions: shown as they are
    assert parsed.sources == []


def test_one_finding_is_shown_once():
    _, text = page({"Mass": curve(auc=0.8125)})
    assert "acro AUC" not in text.split("How it was computed")[0]
    assert "macro (mean)" not in text
    assert text.split("Precision, recall, F1")[0].count("0.812") == 3  # the figure, the table, the curve
    assert "macro (mean) 0.756" in page({"Mass": curve(auc=0.8125), "Edema": curve(auc=0.7)})[1]


def test_the_model_is_named_by_what_it_is():
    model = {"architecture": "resnet50_v1", "weights": "imagenet.safetensors", "epoch": 7, "precision": "fp32"}
    _, text = page({"Mass": curve()}, model=model)
    assert "resnet50_v1, started from imagenet.safetensors, epoch 7, precision fp32" in text
    _, text = page({"Mass": curve()}, model={**model, "precision": "auto"})
    assert "epoch 7" in text
    assert "precision auto" not in text


def test_the_header_names_engine_and_precision_where_the_predictions_do():
    model = {"architecture": "resnet50", "engine": "torch", "scoring_precision": "bf16"}
    assert "by torch in bf16" in page({"Mass": curve()}, model=model)[1]
    assert "by torch" not in page({"Mass": curve()}, model={"architecture": "resnet50"})[1]


def test_tables_as_csv_hold_every_digit_and_no_formula():
    curves = {"=1+1": curve(auc=1 / 3), "Edema": curve(0, 5)}
    written = pd.read_csv(io.StringIO(as_csv(tables_of(all_metrics(curves))["findings"])))
    assert written["finding"].tolist() == ["'=1+1", "Edema", "macro (mean)", "micro (pooled)"]
    assert written["auc"][0] == 1 / 3
    assert written["n_positive"].tolist()[:2] == [40, 0]
    assert np.isnan(written["auc"][1])
    numbers = metrics.of_finding(curves["=1+1"])
    assert [written["auc_ci95_low"][0], written["auc_ci95_high"][0]] == numbers["auc_ci95"]


def coordinates(path):
    return np.array([tuple(map(float, pair.split(","))) for pair in path[1:].split()])


def test_the_curves_on_the_page_are_those_of_sklearn():
    rng = np.random.default_rng(5)
    truth = rng.random(3000) < 0.1
    scores = np.round(rng.normal(size=3000) + 1.2 * truth, 2)
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    drawn = coordinates(roc_path(np.stack([true, false])))
    x, y = drawn[:, 0] / 100, 1 - drawn[:, 1] / 100
    assert np.abs(np.interp(false, x, y) - true).max() < 0.04  # a step of a curve is within a hundredth or two
    assert auc(x, y) == pytest.approx(roc_auc_score(truth, scores), abs=0.003)
    assert len(drawn) < 400
    drawn = coordinates(precision_recall_path(np.stack([true, false]), truth.sum(), (~truth).sum()))
    precision, recall, _ = precision_recall_curve(truth, scores)
    known = {(round(r, 3), round(p, 3)) for r, p in zip(recall, precision, strict=True)}
    close = [min(abs(x / 100 - r) + abs(1 - y / 100 - p) for r, p in known) for x, y in drawn]
    assert max(close) < 0.003


def test_numbers_of_the_metrics_are_on_the_page():
    _, text = page({"Mass": curve(auc=0.8125), "Pleural_Thickening": curve(auc=0.7)})
    for expected in ("0.812", "0.756", "Pleural Thickening", "40.0 %", "test", "90"):
        assert expected in text


def test_calibration_is_shown_before_and_after_scaling():
    parsed, text = page({"Mass": curve(), "Edema": curve()})
    assert "0.062 → 0.043" in text or "0.062 → 0.042" in text
    assert parsed.tags.count("figure") == 3 * 2 + 1  # ROC with its mean, precision-recall, reliability
    unfitted = calibration(["Mass"], None)
    unfitted["fitted_on"] = None
    unfitted["findings"]["Mass"] |= {"ece_scaled": None, "brier_scaled": None, "reliability_scaled": None}
    _, text = page({"Mass": curve()}, calibration=unfitted)
    assert "→" not in text
    assert "Calibrating needs validation images" in text


def test_operating_points_of_the_validation_images_stand_in_place_of_those_of_these_images():
    curves = {"Mass": curve(), HOSTILE: curve()}
    _, text = page(curves, operating_points=points_of(curves))
    for words in POINTS.values():
        assert words in text
    assert text.count("0.876") == 4 * 2 * len(POINTS)
    assert "Operating point of Youden" not in text
    assert "Operating point of Youden" in page(curves)[1]


def test_subgroups_that_differ_are_marked_and_small_ones_faint():
    curves = {"Mass": curve(), "Edema": curve()}
    groups = {"F": subgroup(curves, flagged=True), "M": subgroup(curves, few=True)}
    tables = tables_of(all_metrics(curves, subgroups={"sex": groups}))
    assert [(row.cells[0], row.marked, row.faint) for row in tables["subgroups"].rows] == [
        ("sex: F", True, False),
        ("sex: M", False, True),
    ]
    flagged = [row.cells[:2] for row in tables["subgroup_findings_flagged"].rows]
    assert flagged == [("sex: F", "Mass"), ("sex: F", "Edema")]
    _, text = page(curves, subgroups={"sex": groups})
    assert "Findings that differ" in text
    assert "-0.050 to +0.000" in text
    assert "Findings that differ" not in page(curves)[1]


def test_only_roc_curves_can_be_pointed_at_where_there_are_no_thresholds():
    """Without operating points the script takes what is drawn for an ROC curve."""
    curves = {"Mass": curve(), "Edema": curve(auc=0.7)}
    numbers = all_metrics(curves)
    drawn = [RocCurve(name, each.auc, each.roc) for name, each in curves.items()]
    given = {"panels": panels_of(drawn, None, numbers), "compared": [], "tables": tables_of(numbers), "created": "now"}
    figures = re.findall(r'<figure class="panel[^>]*>', render(numbers, **given))
    assert [figure.count('data-curve="roc"') for figure in figures[:3]] == [1, 1, 1]  # with the mean
    assert not [figure for figure in figures[3:] if "data-curve" in figure]
    assert len(figures) >= 5
    points = [MovablePoint(name, 1, 1, [0.5], [1], [0], 0, name) for name in curves]
    assert render(numbers, **given, movable=points).count('data-curve="recall" data-place="') == 2
