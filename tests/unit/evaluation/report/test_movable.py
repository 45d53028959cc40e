"""The operating points that the reader of the page moves, against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import confusion_matrix, roc_curve

from cxr_spark.evaluation.counting.buckets import PAIRS, CurveSettings, Ranges, count_buckets
from cxr_spark.evaluation.counting.whole_curves import combine
from cxr_spark.evaluation.report import plots
from cxr_spark.evaluation.report.movable import movable_points, places_of
from cxr_spark.evaluation.report.panels import Panel


@pytest.fixture
def drawn():
    """3,000 labels and scores with many ties."""
    rng = np.random.default_rng(5)
    truth = rng.random(3000) < 0.1
    return truth, np.round(1 / (1 + np.exp(-rng.normal(size=3000) - 1.2 * truth)), 2)


def counted(truth, scores, cuts=()):
    """The curve, counted in as many ranges of scores as there are cuts, and one more."""
    settings = CurveSettings(drawn=1, replicates=0, seed=1)
    range_of = np.searchsorted(np.array(cuts), scores, side="right")
    there = np.unique(range_of)
    lowest = np.array([scores[range_of == i].min() for i in there])
    positive, negative = ([int((wanted & (range_of == i)).sum()) for i in there] for wanted in (truth, ~truth))
    ranges = {0: Ranges(lowest, np.array(positive), np.array(negative))}
    rows = []
    for i in there:
        here = range_of == i
        columns = (np.zeros(here.sum(), np.int32), scores[here], truth[here], np.flatnonzero(here))
        pairs = pa.table([pa.array(column) for column in columns], schema=PAIRS)
        rows += [row for batch in count_buckets(pairs, settings, ranges) for row in batch.to_pylist()]
    return combine(rows, settings)[0]


def test_each_point_of_a_curve_knows_its_threshold_however_scores_are_cut(drawn):
    truth, scores = drawn
    false, true, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    for cuts in ((), (0.3, 0.5, 0.51, 0.9)):
        curve = counted(truth, scores, cuts)
        assert np.array_equal(curve.roc_thresholds, thresholds)
        assert np.allclose(curve.roc, [true, false], atol=1e-12)


def test_the_counts_at_each_threshold_are_those_of_sklearn(drawn):
    truth, scores = drawn
    curve = counted(truth, scores, (0.4,))
    numbers = {
        "findings": {"Pleural_Thickening": {"n_positive": int(truth.sum()), "n_negative": int((~truth).sum())}},
        "classification": {"0.5": {"findings": {"Pleural_Thickening": {"threshold": 0.655}}}},
    }
    numbers["findings"]["Pleural_Thickening"]["threshold"] = 0.2
    (point,) = movable_points([plots.roc_curve("Pleural_Thickening", curve)], numbers)
    assert point.name == "Pleural Thickening"
    assert 50 < len(point.thresholds) < 210
    for threshold, true, false in zip(point.thresholds, point.true, point.false, strict=True):
        (absent, alarms), (missed, hits) = confusion_matrix(truth, scores >= threshold)
        assert (hits, alarms) == (true, false)
        assert (missed, absent) == (point.positive - true, point.negative - false)
    assert (point.true[-1], point.false[-1]) == (point.positive, point.negative)
    assert point.thresholds[point.start] >= 0.655 > point.thresholds[point.start + 1]  # what was decided by

    numbers["classification"] = {"most_probable": {"findings": {"Pleural_Thickening": {}}}}
    (point,) = movable_points([plots.roc_curve("Pleural_Thickening", curve)], numbers)
    assert point.thresholds[point.start] >= 0.2 > point.thresholds[point.start + 1]  # Youden's


def test_all_pairs_have_points_too_where_there_are_several_findings(drawn):
    truth, scores = drawn
    halves = [(truth[:1000], scores[:1000]), (truth[1000:], scores[1000:])]
    curves = [plots.roc_curve(name, counted(*half)) for name, half in zip(("Mass", "Edema"), halves, strict=True)]
    numbers = {
        "findings": {
            name: {"n_positive": int(half[0].sum()), "n_negative": int((~half[0]).sum()), "threshold": 0.5}
            for name, half in zip(("Mass", "Edema"), halves, strict=True)
        },
        "micro": {"n_positive": int(truth.sum()), "n_negative": int((~truth).sum())},
        "classification": {"0.5": {"findings": {"Mass": {}, "Edema": {}}}},
    }
    pooled = plots.roc_curve("micro", counted(truth, scores))
    *findings, point = movable_points(curves, numbers, pooled)
    assert [each.pooled for each in (*findings, point)] == [False, False, True]
    for threshold, true, false in zip(point.thresholds, point.true, point.false, strict=True):
        (_, alarms), (_, hits) = confusion_matrix(truth, scores >= threshold)
        assert (hits, alarms) == (true, false)
    false, true, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    best = thresholds[np.argmax(true - false)]
    assert point.thresholds[point.start] >= best > point.thresholds[point.start + 1]  # Youden's
    assert [each.pooled for each in movable_points(curves[:1], numbers, pooled)] == [False]  # it is the finding's curve

    points = [replace(point, finding="micro (pooled)", pooled=False), point]  # a finding may have any name
    names = (("macro (mean)", True), ("micro (pooled)", True), ("micro (pooled)", False), ("Mass", False))
    panels = [Panel(name, 0.5, 0.5, "", whole=whole) for name, whole in names]
    assert places_of(panels, points) == [None, 1, 0, None]
