from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from cxr_spark.evaluation.counting.auc import roc_auc
from cxr_spark.evaluation.counting.curves import Counts, OperatingPoint, thresholds_of, youden_point
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.decisions.classification import report_of_classes, report_of_findings
from cxr_spark.evaluation.decisions.operating_points import POINTS
from cxr_spark.evaluation.report import metrics
from cxr_spark.evaluation.report.page import render
from cxr_spark.evaluation.report.panels import compared_panels, panels_of, precision_recall_path, roc_path
from cxr_spark.evaluation.report.plots import RocCurve
from cxr_spark.evaluation.report.tables import tables_of
from cxr_spark.reporting.tables import as_csv

HOSTILE = "<script>alert('x')</script>&\"{{ 7 * 7 }}"


def curve(positive=40, negative=60, auc=0.75):
    if not positive or not negative:
        return Curve(Counts(positive, negative), None, np.empty(0))
    best = OperatingPoint(1, 0.4, positive // 2, negative // 4)
    roc = np.array([[0.0, 0.5, 1.0], [0.0, 0.25, 1.0]])
    return Curve(Counts(positive, negative), auc, np.linspace(0.7, 0.8, 100), 0.5, best, roc=roc)


def subgroup(curves, **changes):
    found = metrics.of_subgroup(curves, 50)
    for row, key in (
        (found, "macro_auc_difference"),
        *((each, "auc_difference") for each in found["findings"].values()),
    ):
        for name in (key, "false_negative_rate_difference"):
            row |= {name: -0.025, f"{name}_ci95": [-0.05, 0.0], f"{name}_p": 0.01, f"{name}_p_holm": 0.04}
        row |= {"false_negative_rate": 0.2, "few": False, "flagged": False, **changes}
    return found


def calibration(curves, temperature=1.5):
    bins = [
        {"low": i / 10, "high": (i + 1) / 10, "n_images": 50, "mean_probability": x, "fraction_positive": y}
        for i, x, y in ((0, 0.05, 0.1), (6, 0.65, 0.5))
    ]
    row = {"temperature": temperature, "brier": 0.12, "ece": 0.0625, "reliability": bins}
    row |= {"brier_scaled": 0.11, "ece_scaled": 0.0425, "reliability_scaled": bins[:1]}
    means = {"brier": 0.12, "ece": 0.0625, "brier_scaled": 0.11, "ece_scaled": 0.0425}
    return {"bins": 10, "fitted_on": "val", "findings": dict.fromkeys(curves, row), "macro": means}


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


def all_metrics(curves, **changes):
    result = {
        "findings": {name: metrics.of_finding(c) for name, c in curves.items()},
        "macro": metrics.macro(curves),
        "micro": metrics.micro(curve()),
        "subgroups": {"sex": {HOSTILE: subgroup(curves)}},
        "subgroup_crossings": {},
        "classification": {"0.5": report_of_findings(list(curves), np.full((len(curves), 4), 25), [0.5] * len(curves))},
        "operating_points": None,
        "calibration": calibration(curves),
        "splits": {},
        "comparison": None,
        "n_images": 100,
        "n_patients": 90,
        "n_images_without_patient": 0,
        "n_patients_in_several_splits": 0,
        "split": "test",
        "images_by_split": {"test": 100},
        "model_id": HOSTILE,
        "unmatched": {"predictions_without_label": 0, "labels_without_prediction": None},
        "bootstrap": {"replicates": 100, "seed": 1},
        "synthetic": False,
        "versions": {"cxr_spark": "1"},
        "predictions": f"file:///{HOSTILE}",
        **changes,
    }
    result["warnings"] = metrics.warnings_of(result)
    return result


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.sources, self.scripts = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("meta", "img", "br") and not (tag == "path" or tag == "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts.append(data)
        elif "style" not in self.open:
            self.text.append(data)


def page(curves, **changes):
    numbers = all_metrics(curves, **changes)
    drawn = [RocCurve(name, each.auc, each.roc) for name, each in curves.items() if each.auc is not None]
    panels = panels_of(drawn, None, numbers)
    compared = compared_panels([(each, each) for each in drawn]) if numbers["comparison"] else []
    text = render(numbers, panels=panels, compared=compared, tables=tables_of(numbers), created="2020-01-01")
    parsed = Page(text)
    assert not parsed.open
    allowed = re.findall(r"script-src 'sha256-([^']*)'", text)
    assert [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in parsed.scripts] == allowed
    return parsed, " ".join("".join(parsed.text).split())


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


def test_findings_without_both_classes_are_named_and_explained():
    numbers = all_metrics({"Mass": curve(), "Hernia": curve(0, 100), "Edema": curve(100, 0), "Mask": curve(0, 0)})
    assert numbers["macro"]["findings_left_out"] == {
        "Hernia": "no image has it",
        "Edema": "every image with a known label has it",
        "Mask": "no image has a known label for it",
    }
    assert numbers["macro"]["auc"] == numbers["findings"]["Mass"]["auc"]
    assert numbers["findings"]["Hernia"]["auc"] is None
    _, text = page({"Mass": curve(), "Hernia": curve(0, 100)})
    assert "Hernia has no AUC and is left out of macro: no image has it." in text


def test_no_finding_with_both_classes_gives_no_macro():
    numbers = all_metrics({"Hernia": curve(0, 100)})
    assert numbers["macro"]["auc"] is None
    assert numbers["macro"]["auc_ci95"] is None
    page({"Hernia": curve(0, 100)})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"synthetic": True}, "synthetic"),
        ({"n_patients": None}, "No image names its patient"),
        ({"n_images_without_patient": 7}, "7 images do not name their patient"),
        ({"n_images_without_patient": 7}, "Splits may share patients: who is not known"),
        ({"n_patients": None}, "test; splits may share patients"),
        ({"images_by_split": {"test": 60, "train": 40}}, "40 of the images are of the training split"),
        ({"n_patients_in_several_splits": 3}, "3 patients have images in more than one split"),
        (
            {"unmatched": {"predictions_without_label": 9, "labels_without_prediction": 1}},
            "9 predictions have no label",
        ),
    ],
)
def test_what_a_reader_must_know_is_said(changes, said):
    assert said in page({"Mass": curve()}, **changes)[1]
    assert said not in page({"Mass": curve()})[1]


def test_images_without_one_class_are_said():
    report = report_of_classes(["Mass", "Edema"], np.array([[50, 5], [3, 40]]))
    said = "2 images have not exactly one known label"
    curves = {"Mass": curve(), "Edema": curve()}
    assert said in page(curves, classification={"most_probable": report})[1]
    assert said not in page(curves, classification={"most_probable": report}, n_images=98)[1]


def test_few_positive_images_are_said():
    assert "very uncertain: Hernia (9)" in page({"Mass": curve(), "Hernia": curve(9, 91)})[1]


@pytest.mark.parametrize(("same", "scores"), [(True, [0.3] * 6), (False, [0.3, 0.3, 0.3, 0.7, 0.7, 0.7])])
def test_one_score_for_all_images_is_said(same, scores):
    truth = np.array([True, False, False, True, False, False])
    thresholds = thresholds_of(np.array(scores), truth, Counts(0, 0))
    best = youden_point(thresholds, Counts(2, 4))
    found = Curve(Counts(2, 4), roc_auc(scores, truth.astype(float)), np.empty(0), 0.5, best, roc=np.zeros((2, 2)))
    assert found.auc == 0.5
    assert ("All images have the same score" in page({"Mass": found})[1]) is same


def test_operating_point_numbers():
    numbers = metrics.of_finding(curve(40, 60))
    assert (numbers["sensitivity"], numbers["specificity"]) == (0.5, 0.75)
    assert numbers["f1"] == pytest.approx(2 * 20 / (2 * 20 + 15 + 20))
    assert numbers["prevalence"] == 0.4


def test_calibration_is_shown_before_and_after_scaling():
    parsed, text = page({"Mass": curve(), "Edema": curve()})
    assert "0.062 → 0.043" in text or "0.062 → 0.042" in text
    assert parsed.tags.count("figure") == 3 * 2 + 1  # ROC with its mean, precision-recall, reliability
    unfitted = calibration(["Mass"], None)
    unfitted["fitted_on"] = None
    unfitted["findings"]["Mass"] |= {"ece_scaled": None, "brier_scaled": None, "reliability_scaled": None}
    _, text = page({"Mass": curve()}, calibration=unfitted)
    assert "→" not in text
    assert "Scaling needs validation images" in text


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
