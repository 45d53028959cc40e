"""The numbers and curves of made-up evaluations, and their page."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np

from cxr_spark.evaluation.counting.curves import Counts, OperatingPoint
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.decisions.classification import report_of_findings
from cxr_spark.evaluation.report import metrics
from cxr_spark.evaluation.report.page import render
from cxr_spark.evaluation.report.panels import compared_panels, panels_of
from cxr_spark.evaluation.report.plots import RocCurve
from cxr_spark.evaluation.report.tables import tables_of

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
    row = {"fitted": temperature is not None, "fitted_positive": 40, "fitted_negative": 60}
    row |= {"temperature": temperature, "levels": None, "isotonic": None}
    row |= {"brier": 0.12, "ece": 0.0625, "reliability": bins}
    row |= {"brier_scaled": 0.11, "ece_scaled": 0.0425, "reliability_scaled": bins[:1]}
    means = {"brier": 0.12, "ece": 0.0625, "brier_scaled": 0.11, "ece_scaled": 0.0425}
    result = {"bins": 10, "method": "temperature", "fitted_on": "val", "findings": dict.fromkeys(curves, row)}
    return {**result, "macro": means, "macro_fitted": {"findings_used": list(curves), **means}}


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


def page(curves, pictures=None, **changes):
    numbers = all_metrics(curves, **changes)
    drawn = [RocCurve(name, each.auc, each.roc) for name, each in curves.items() if each.auc is not None]
    panels = panels_of(drawn, None, numbers)
    compared = compared_panels([(each, each) for each in drawn]) if numbers["comparison"] else []
    tables = tables_of(numbers)
    text = render(numbers, panels=panels, compared=compared, tables=tables, created="2020-01-01", pictures=pictures)
    parsed = Page(text)
    assert not parsed.open
    allowed = re.findall(r"script-src 'sha256-([^']*)'", text)
    assert [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in parsed.scripts] == allowed
    return parsed, " ".join("".join(parsed.text).split())
