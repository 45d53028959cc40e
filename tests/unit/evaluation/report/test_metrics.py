"""The numbers of metrics.json, and the sentences that warn of them."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_spark.evaluation.counting.auc import roc_auc
from cxr_spark.evaluation.counting.curves import Counts, thresholds_of, youden_point
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.decisions.classification import report_of_classes
from cxr_spark.evaluation.report import metrics
from cxr_spark.evaluation.report.panels import panels_of
from cxr_spark.evaluation.report.plots import RocCurve
from cxr_spark.evaluation.report.tables import tables_of
from tests.support.evaluations import all_metrics, curve, page


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


def test_the_mean_without_no_finding_comes_first_and_both_are_named():
    curves = {"Mass": curve(auc=0.75), "Edema": curve(auc=0.5), "No Finding": curve(auc=1.0)}
    without = metrics.macro_without_no_finding(curves)
    assert (without["auc"], metrics.macro(curves)["auc"]) == (0.625, 0.75)
    tests = ("p_bootstrap", "p_bootstrap_holm", "p_delong", "p_delong_holm")
    measures = ("auc", "auc_baseline", "auc_difference", "f1", "f1_baseline", "f1_difference")
    row = {**dict.fromkeys((*measures, *tests), 0.5), "auc_difference_ci95": None}
    compared = {"findings": dict.fromkeys(curves, row), "macro": row, "macro_without_no_finding": {**row, "auc": 0.25}}
    whole = all_metrics(curves, macro_without_no_finding=without)
    tables = tables_of({**whole, "comparison": {**compared, "disagreements": {}}})
    names = ["macro without No Finding", "macro with No Finding"]
    assert [line.cells[0] for line in tables["findings"].rows if line.whole] == [*names, "micro (pooled)"]
    assert [line.cells[0] for line in tables["comparison"].rows if line.whole] == names
    assert [line.cells[2] for line in tables["comparison"].rows if line.whole] == [0.25, 0.5]
    drawn = [RocCurve(name, each.auc, each.roc) for name, each in curves.items()]
    panels = [panel for panel in panels_of(drawn, None, whole) if panel.whole]
    assert [(panel.name, panel.auc) for panel in panels] == list(zip(names, (0.625, 0.75), strict=True))
