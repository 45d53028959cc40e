"""Counts and reports of decisions against scikit-learn's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import classification_report, confusion_matrix, f1_score

from cxr_spark.evaluation.counting.curves import Counts, F1Point, f1_point, thresholds_of
from cxr_spark.evaluation.decisions.classification import report_of_classes, report_of_findings
from cxr_spark.evaluation.decisions.counts import Counter, Tally

RNG = np.random.default_rng(5)
NAMES = ["healthy", "COVID-19", "bacterial", "viral", "never"]
SHARES = {"precision": "precision", "recall": "recall", "f1": "f1-score", "support": "support"}


def same(ours, theirs):
    for own, its in SHARES.items():
        assert ours[own] == pytest.approx(theirs[its], abs=1e-12), own


def counted(labels, scores, thresholds):
    """Counts in pieces, as executors do, and adds up what they send."""
    total = Tally.zero(*thresholds.shape)
    for part in np.array_split(np.arange(len(labels)), 5):
        total = total.add_bytes(Counter(thresholds).count(labels[part], scores[part]).to_bytes())
    return total


def test_one_class_an_image_equals_sklearn():
    truth = RNG.integers(0, 4, 300)  # the last class has no image
    scores = (RNG.integers(0, 5, (300, 5)) / 5) + 0.3 * np.eye(5)[truth]
    labels = np.eye(5)[truth]
    tally = counted(labels, scores, np.full((1, 5), 0.5))
    predicted = scores.argmax(axis=1)
    np.testing.assert_array_equal(tally.confusion, confusion_matrix(truth, predicted, labels=range(5)))
    ours = report_of_classes(NAMES, tally.confusion)
    theirs = classification_report(
        truth, predicted, labels=range(5), target_names=NAMES, output_dict=True, zero_division=0
    )
    for name in NAMES:
        same(ours["findings"][name], theirs[name])
    same(ours["macro"], theirs["macro avg"])
    same(ours["weighted"], theirs["weighted avg"])
    assert ours["accuracy"] == pytest.approx((truth == predicted).mean())
    assert ours["confusion_matrix"] == {"classes": NAMES, "counts": tally.confusion.tolist()}


def test_images_without_exactly_one_known_label_are_in_no_class():
    labels = np.array([[1, 0], [0, 0], [1, 1], [np.nan, 1], [np.nan, np.nan]])
    tally = Counter(np.full((1, 2), 0.5)).count(labels, np.tile([0.9, 0.1], (5, 1)))
    np.testing.assert_array_equal(tally.confusion, [[1, 0], [1, 0]])


def test_several_findings_equal_sklearn_at_each_rule():
    labels = (RNG.random((400, 3)) < [0.3, 0.05, 0.6]).astype(float)
    scores = (RNG.integers(0, 11, (400, 3)) / 10 + labels * 0.2).clip(0, 1)
    thresholds = np.array([[0.5, 0.5, 0.5], [0.3, 0.9, 0.7]])
    tally = counted(labels, scores, thresholds)
    for rule, chosen in enumerate(thresholds):
        ours = report_of_findings(NAMES[:3], tally.by_finding[rule], chosen.tolist())
        called = (scores >= chosen).astype(int)
        theirs = classification_report(labels, called, target_names=NAMES[:3], output_dict=True, zero_division=0)
        for name in NAMES[:3]:
            same(ours["findings"][name], theirs[name])
        for average in ("micro", "macro", "weighted"):
            same(ours[average], theirs[f"{average} avg"])
        assert "confusion_matrix" not in ours


def test_labels_that_are_not_known_count_nowhere():
    labels = (RNG.random((200, 2)) < 0.4).astype(float)
    labels[RNG.random((200, 2)) < 0.3] = np.nan
    scores = RNG.random((200, 2))
    tally = counted(labels, scores, np.full((1, 2), 0.5))
    for i in range(2):
        known = ~np.isnan(labels[:, i])
        expected = confusion_matrix(labels[known, i], scores[known, i] >= 0.5)
        true, false, missed, absent = tally.by_finding[0, i]
        np.testing.assert_array_equal([[absent, false], [missed, true]], expected)


def test_one_finding_and_its_absence_are_two_classes_as_in_sklearn():
    labels = (RNG.random((150, 1)) < 0.3).astype(float)
    scores = (RNG.random((150, 1)) + 0.4 * labels) / 1.4
    tally = counted(labels, scores, np.full((1, 1), 0.4))
    names = ["no PNEUMONIA", "PNEUMONIA"]
    ours = report_of_findings(["PNEUMONIA"], tally.by_finding[0], [0.4])
    called = scores[:, 0] >= 0.4
    theirs = classification_report(labels[:, 0], called, target_names=names, output_dict=True)
    assert list(ours["findings"]) == names
    for name in names:
        same(ours["findings"][name], theirs[name])
        assert ours["findings"][name]["threshold"] == 0.4
    same(ours["macro"], theirs["macro avg"])
    same(ours["weighted"], theirs["weighted avg"])
    assert ours["accuracy"] == pytest.approx(theirs["accuracy"])
    expected = confusion_matrix(labels[:, 0], called).tolist()
    assert ours["confusion_matrix"] == {"classes": names, "counts": expected}


@pytest.mark.parametrize("pieces", [1, 4])
def test_the_threshold_with_the_largest_f1_is_the_best_of_all_and_the_highest_of_these(pieces):
    labels = RNG.random(120) < 0.3
    scores = np.sort((RNG.integers(0, 20, 120) + 6 * labels) / 30)
    labels = RNG.permutation(labels)
    total = Counts(int(labels.sum()), int((~labels).sum()))
    cuts = np.unique(scores)[[len(np.unique(scores)) * i // pieces for i in range(1, pieces)]].tolist()
    edges = [-1.0, *cuts, 2.0]
    points = []
    for low, high in pairwise(edges):
        here, above = (scores >= low) & (scores < high), scores >= high
        higher = Counts(int(labels[above].sum()), int((~labels[above]).sum()))
        points.append(f1_point(thresholds_of(scores[here], labels[here], higher), total))
    all_f1 = {t: f1_score(labels, scores >= t) for t in np.unique(scores)}
    best = max(all_f1.values())
    found = max(points)
    assert found.f1 == pytest.approx(best, abs=1e-12)
    assert found.threshold == max(t for t, f1 in all_f1.items() if f1 == pytest.approx(best, abs=1e-12))
    assert F1Point(0.5, 0.9) > F1Point(0.5, 0.1)
