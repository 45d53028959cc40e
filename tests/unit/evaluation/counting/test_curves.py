from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_curve

from cxr_spark.evaluation.counting import curves
from cxr_spark.evaluation.counting.curves import Counts


def sample(n, distinct, share, seed):
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.integers(0, distinct, n) / distinct)
    labels = rng.random(n) < share
    labels[rng.choice(n, 2, replace=False)] = [True, False]
    return scores, labels, Counts(int(labels.sum()), int((~labels).sum()))


cases = st.builds(sample, st.integers(2, 500), st.integers(1, 600), st.floats(0.01, 0.99), st.integers(0, 2**32))


def ranges(scores, labels, cuts):
    """Cuts sorted scores where they change, highest range first, each with the counts above it."""
    places = [c for c in sorted(set(cuts)) if 0 < c < len(scores) and scores[c] != scores[c - 1]]
    for first, stop in reversed(list(zip([0, *places], [*places, len(scores)], strict=True))):
        above = labels[stop:]
        yield scores[first:stop], labels[first:stop], Counts(int(above.sum()), int((~above).sum()))


@given(cases, st.lists(st.integers(1, 499), max_size=5))
def test_average_precision_equals_sklearn_however_it_is_cut(case, cuts):
    scores, labels, total = case
    parts = [curves.precision_sum(curves.thresholds_of(*part)) for part in ranges(scores, labels, cuts)]
    assert curves.average_precision(sum(parts), total.positive) == pytest.approx(
        average_precision_score(labels, scores), abs=1e-12
    )
    whole = curves.precision_sum(curves.thresholds_of(scores, labels, Counts(0, 0)))
    assert sum(parts) == whole


@given(cases, st.lists(st.integers(1, 499), max_size=5))
def test_youden_point_is_the_best_of_all_thresholds(case, cuts):
    scores, labels, total = case
    best = curves.best_point(
        curves.youden_point(curves.thresholds_of(*part), total) for part in ranges(scores, labels, cuts)
    )
    false, true, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    assert best.true_positives / total.positive - best.false_positives / total.negative == pytest.approx(
        (true - false)[1:].max(), abs=1e-12
    )
    called = scores >= best.threshold
    assert (called & labels).sum() == best.true_positives
    assert (called & ~labels).sum() == best.false_positives
    assert best.threshold in thresholds


@settings(deadline=None, max_examples=25)
@given(st.builds(sample, st.integers(5000, 20000), st.just(10**9), st.floats(0.01, 0.9), st.integers(0, 2**32)))
def test_a_thinned_curve_is_small_and_close(case):
    scores, labels, total = case
    t = curves.thresholds_of(scores, labels, Counts(0, 0))
    true, false = curves.thin(t.true_positives, t.false_positives, total)
    assert len(true) <= 1998
    assert (true[-1], false[-1]) == (total.positive, total.negative)
    assert (true[0], false[0]) == (t.true_positives[0], t.false_positives[0])
    # Along the 45 degree axis both are functions of (false + true rate): compare them there.
    full_along = t.true_positives / total.positive + t.false_positives / total.negative
    thin_along = true / total.positive + false / total.negative
    drawn = np.interp(full_along, thin_along, true / total.positive)
    assert np.abs(drawn - t.true_positives / total.positive).max() <= 2 / 999


@given(cases, st.lists(st.integers(1, 499), max_size=5))
def test_thinning_parts_then_the_whole_is_thinning_the_whole(case, cuts):
    scores, labels, total = case
    thinned = []
    for part in ranges(scores, labels, cuts):
        t = curves.thresholds_of(*part)
        thinned.append(curves.thin(t.true_positives, t.false_positives, total, t.score))
    true, false, score = (np.concatenate(values) for values in zip(*thinned, strict=True))
    joined = curves.thin(true, false, total, score)
    t = curves.thresholds_of(scores, labels, Counts(0, 0))
    for part, whole in zip(joined, curves.thin(t.true_positives, t.false_positives, total, t.score), strict=True):
        np.testing.assert_array_equal(part, whole)
