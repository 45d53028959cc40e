from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cxr_spark.evaluation.counting.auc import auc_of_counts, macro_micro_auc, roc_auc
from cxr_spark.evaluation.counting.pair_counts import weighted_pair_counts


@st.composite
def scored(draw, max_distinct=400):
    """Scores with few or many ties and labels of both classes."""
    n = draw(st.integers(2, 400))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.integers(0, draw(st.integers(1, max_distinct)), n) / 7.0
    labels = rng.random(n) < draw(st.floats(0.01, 0.99))
    labels[:2] = [True, False]
    return scores, labels


@given(scored())
def test_auc_equals_sklearn(case):
    scores, labels = case
    assert roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(scored(max_distinct=1))
def test_all_scores_equal_is_exactly_chance(case):
    assert roc_auc(*case) == 0.5


def test_unknown_labels_are_left_out():
    scores, labels = np.array([0.1, 0.9, 0.5, 0.4]), np.array([0.0, np.nan, 1.0, 0.0])
    assert roc_auc(scores, labels) == 1.0


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], [np.nan] * 3, [np.nan, 1, 1]])
def test_one_class_has_no_auc(labels):
    assert roc_auc([0.1, 0.2, 0.3], labels) is None


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        roc_auc([0.1, np.nan], [0, 1])
    with pytest.raises(ValueError, match="length"):
        roc_auc([0.1, 0.2], [0, 1, 1])


def test_macro_leaves_out_one_class_findings_and_micro_pools_every_known_pair():
    rng = np.random.default_rng(1)
    scores, labels = rng.random((300, 4)).round(1), (rng.random((300, 4)) < 0.3).astype(float)
    labels[:, 2] = 1
    labels[rng.random((300, 4)) < 0.2] = np.nan
    known = ~np.isnan(labels)
    each = [roc_auc_score(labels[known[:, i], i], scores[known[:, i], i]) for i in (0, 1, 3)]
    macro, micro = macro_micro_auc(scores, labels)
    assert macro == pytest.approx(np.mean(each), abs=1e-12)
    assert micro == pytest.approx(roc_auc_score(labels[known], scores[known]), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(scored(), st.integers(1, 40))
def test_every_weighting_equals_sklearn_with_sample_weights(case, n_patients):
    scores, labels = case
    order = np.argsort(scores)
    scores, labels = scores[order], labels[order]
    rng = np.random.default_rng(len(scores))
    patients = rng.integers(0, n_patients, len(scores))
    weights = rng.poisson(1, (n_patients, 9)).astype(np.uint8)
    weights[:, 0] = 1
    for b, (positive, negative, twice_u) in enumerate(
        zip(*weighted_pair_counts(scores, labels, patients, weights), strict=True)
    ):
        weight = weights[patients, b]
        assert (positive, negative) == (weight[labels].sum(), weight[~labels].sum())
        auc = auc_of_counts(twice_u, positive, negative)
        if auc is not None:
            assert auc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weight), abs=1e-12)
