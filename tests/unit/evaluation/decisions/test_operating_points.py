"""Thresholds for a sensitivity or specificity against scikit-learn, and counts in the replicates of the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from cxr_spark.evaluation.counting.bootstrap import poisson_weights
from cxr_spark.evaluation.counting.curves import Counts, best_targets, target_thresholds, thresholds_of
from cxr_spark.evaluation.decisions.operating_points import POINTS, thresholds_by_rule
from cxr_spark.evaluation.decisions.resampled import ResampledCounter

LEVELS = (0.90, 0.95)


def cohort(n=800, seed=2, distinct=60):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.3
    scores = np.round((rng.normal(size=n) + labels) * distinct / 4) / distinct
    return scores, labels


def in_ranges(scores, labels, cuts):
    """The thresholds of each range of scores, as executors find them."""
    order = np.argsort(scores, kind="stable")
    scores, labels = scores[order], labels[order]
    total = Counts(int(labels.sum()), int((~labels).sum()))
    edges = np.searchsorted(scores, np.quantile(scores, np.linspace(0, 1, cuts + 1)[1:-1]))
    found = []
    for rows in np.split(np.arange(len(scores)), np.unique(edges)):
        if rows.size:
            above = labels[rows[-1] + 1 :]
            here = thresholds_of(scores[rows], labels[rows], Counts(int(above.sum()), int((~above).sum())))
            found.append(target_thresholds(here, total))
    return np.stack(found)


@pytest.mark.parametrize("cuts", [1, 7])
@pytest.mark.parametrize("seed", [2, 3])
def test_thresholds_are_the_best_of_sklearns_curve(cuts, seed):
    scores, labels = cohort(seed=seed)
    found = best_targets(in_ranges(scores, labels, cuts))
    false, true, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    for place, level in enumerate(LEVELS):
        assert found[place] == thresholds[true >= level][0]
        assert found[2 + place] == thresholds[1 - false >= level][-1]


def test_no_threshold_keeps_a_specificity_where_the_highest_score_is_common():
    found = best_targets(in_ranges(np.full(20, 0.5), np.arange(20) < 5, 1))
    assert found == [0.5, 0.5, None, None]


def test_a_finding_without_both_classes_has_no_thresholds():
    assert thresholds_by_rule([None]) == {rule: [None] for rule in POINTS}


def test_replicates_count_each_patient_by_its_weight():
    rng = np.random.default_rng(4)
    patients = rng.integers(0, 40, 300)
    labels = rng.integers(0, 2, (300, 2)).astype(float)
    labels[rng.random(labels.shape) < 0.1] = np.nan
    scores = rng.random((300, 2))
    thresholds = np.array([[0.4, 0.6], [np.inf, 0.2]])
    counter = ResampledCounter(thresholds, replicates=600, seed=9)
    total = np.zeros(counter.shape, np.int64)
    for rows in np.array_split(np.arange(300), 3):
        counter.add(total, labels[rows], scores[rows], patients[rows])
    for replicate in (0, 1, 255, 256, 600):
        weights = poisson_weights(patients, 9, replicate, replicate + 1)[:, 0].astype(int)
        for finding in (0, 1):
            present, absent = labels[:, finding] == 1, labels[:, finding] == 0
            expected = [weights[present].sum(), weights[absent].sum()]
            for rule in (0, 1):
                called = scores[:, finding] >= thresholds[rule, finding]
                expected += [weights[present & called].sum(), weights[absent & called].sum()]
            assert total[replicate, :, finding].tolist() == expected
    assert (total[0, :2] == [np.sum(labels == 1, axis=0), np.sum(labels == 0, axis=0)]).all()
