from __future__ import annotations

import io
import subprocess
import sys
from xml.etree import ElementTree

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from sklearn.metrics import auc

from cxr_spark.evaluation.report.plots import RocCurve, auc_bars, macro_curve, roc_curves
from cxr_spark.reporting.style import display_name
from cxr_spark.reporting.training_curves import training_curves

POINTS = np.array([[0.0, 0.4, 0.9, 1.0], [0.0, 0.1, 0.4, 1.0]])
HOSTILE = ["$x^{$", "_hidden", "<b>", "x" * 300, "two\nlines", "\\frac", "", "胸水"]


def picture(draw, *args):
    target = io.BytesIO()
    draw(*args, target)
    image = cv2.imdecode(np.frombuffer(target.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def numbers(auc, ci=(0.6, 0.8), n=30):
    return {"auc": auc, "auc_ci95": list(ci) if ci and auc is not None else None, "n_positive": n}


def test_pictures_of_fifteen_findings_are_large_enough_to_read():
    curves = [RocCurve(f"Finding_{i}", 0.7, POINTS) for i in range(15)]
    assert min(picture(roc_curves, curves, 0.7, curves[0]).shape[:2]) >= 900
    findings = {curve.name: numbers(curve.auc) for curve in curves}
    assert min(picture(auc_bars, findings, numbers(0.7), numbers(0.7)).shape[:2]) >= 900


@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_plots_as_svg_are_whole_xml_and_run_no_script():
    curves = [RocCurve(name, 0.7, POINTS) for name in ["<script>alert(1)</script>", "--><script>1</script>", *HOSTILE]]
    made = []
    for _ in range(2):
        vector = io.BytesIO()
        roc_curves(curves, 0.7, None, io.BytesIO(), vector)
        made.append(vector.getvalue())
    names = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(made[0]).iter()}
    assert "path" in names
    assert "script" not in names
    assert made[0] == made[1]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_of_any_kind_are_drawn_as_they_are():
    curves = [RocCurve(name, 0.7, POINTS) for name in HOSTILE]
    plain = picture(roc_curves, [RocCurve("a", 0.7, POINTS)] * len(HOSTILE), 0.7, None)
    assert picture(roc_curves, curves, 0.7, None).shape == plain.shape
    picture(auc_bars, {name: numbers(0.2, (0.0, 0.9)) for name in HOSTILE}, numbers(0.2), numbers(None))
    assert all(
        display_name(name) and len(display_name(name)) < 40 and "\n" not in display_name(name) for name in HOSTILE
    )


def test_the_mean_without_no_finding_is_drawn_before_the_mean_of_all(monkeypatch):
    bars, lines = [], []
    ticks, plot = Axes.set_yticks, Axes.plot
    monkeypatch.setattr(Axes, "set_yticks", lambda axes, at, names=(): (bars.extend(names), ticks(axes, at, names))[1])
    monkeypatch.setattr(Axes, "plot", lambda axes, *xy, **look: (lines.append((look, xy)), plot(axes, *xy, **look))[1])
    curves = [RocCurve("Mass", 0.7, POINTS), RocCurve("No Finding", 0.5, np.array([[0.0, 1.0], [0.0, 1.0]]))]
    roc_curves(curves, 0.6, None, io.BytesIO(), others=0.7)
    found = {look["label"]: auc(xy[0], xy[1]) for look, xy in lines if look.get("label")}
    assert list(found) == ["macro without No Finding, 0.700", "macro with No Finding, 0.600"]
    expected = auc(POINTS[1], POINTS[0])
    assert list(found.values()) == pytest.approx([expected, (expected + 0.5) / 2], abs=1e-6)
    bars.clear()
    findings = {"Mass": numbers(0.7), "No Finding": numbers(0.5)}
    auc_bars(findings, numbers(0.6), numbers(0.65), io.BytesIO(), others=numbers(0.7))
    assert bars == ["Mass", "No Finding", "macro without No Finding", "macro with No Finding", "micro (pooled)"]


@pytest.mark.filterwarnings("error")
def test_nothing_to_draw_still_gives_a_picture_that_says_so():
    empty = {"auc": None, "auc_ci95": None}
    for image in (picture(roc_curves, [], None, None), picture(auc_bars, {"Mass": numbers(None)}, empty, empty)):
        assert (image < 200).any()


def test_macro_curve_has_the_mean_of_the_areas():
    curves = [
        RocCurve("step", 0.75, np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.25, 0.25, 1.0]])),
        RocCurve("chance", 0.5, np.array([[0.0, 1.0], [0.0, 1.0]])),
    ]
    true, false = macro_curve(curves)
    assert auc(false, true) == pytest.approx(0.625, abs=1e-3)
    assert (true[0], false[0], true[-1], false[-1]) == (0, 0, 1, 1)


def epoch(number, auc=0.7, val_loss=0.2):
    return {"epoch": number, "train_loss": 0.3, "val_loss": val_loss, "val_macro_auc": auc, "learning_rate": 1e-4}


@pytest.mark.parametrize(
    "history",
    [
        [],
        [epoch(1)],
        [epoch(i) for i in range(1, 101)],
        [epoch(1, None), epoch(2, None)],
        [epoch(1, None, None)],
        [epoch(1), epoch(2, None, float("nan"))],
        [{"epoch": 1}],
    ],
    ids=["none", "one", "hundred", "no AUC", "no validation", "gaps", "nothing known"],
)
def test_training_curves_of_any_history(history):
    assert picture(training_curves, history).shape[1] > 1000
    if history:
        marked = picture(lambda target: training_curves(history, target, len(history) - 1))
        assert marked.shape[1] > 1000


def test_accuracy_has_axes_of_its_own_beside_the_auc():
    with_accuracy = [{**epoch(i), "val_accuracy": 0.95} for i in (1, 2, 3)]
    alone, both = (picture(training_curves, history) for history in ([epoch(1), epoch(2), epoch(3)], with_accuracy))
    assert both.shape[0] == alone.shape[0]
    assert both.shape[1] > 1.3 * alone.shape[1]


def test_plots_leave_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    training_curves([epoch(1)], tmp_path / "curves.png")
    assert dict(matplotlib.rcParams) == before
    code = "import sys; import cxr_spark.evaluation.report.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_same_numbers_give_the_same_bytes():
    one, two = io.BytesIO(), io.BytesIO()
    for target in (one, two):
        training_curves([epoch(1), epoch(2)], target)
    assert one.getvalue() == two.getvalue()
