"""DeLong's test against its definition of 1988, which compares every pair of images."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score

from cxr_spark.evaluation.paired.delong import difference_and_variance, midranks
from cxr_spark.evaluation.paired.findings import PAIRED, measured
from cxr_spark.evaluation.significance import bootstrap_p, holm, normal_p


def slow_delong(one, other, labels):
    """The difference and its variance as DeLong, DeLong and Clarke-Pearson define them, by loops over all pairs."""
    components = []
    for scores in (one, other):
        positive, negative = scores[labels], scores[~labels]
        better = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in negative] for x in positive])
        components.append((better.mean(axis=1), better.mean(axis=0), better.mean()))
    covariance = [np.cov([components[0][k], components[1][k]]) for k in (0, 1)]
    s = covariance[0] / labels.sum() + covariance[1] / (~labels).sum()
    return components[0][2] - components[1][2], s[0, 0] + s[1, 1] - 2 * s[0, 1]


def models(seed, n=120, distinct=9):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.35
    one = np.round(rng.normal(size=n) + labels, 3)
    other = np.round((one + rng.normal(size=n)) * distinct) / distinct
    return one, other, labels


@pytest.mark.parametrize("seed", range(4))
def test_difference_and_variance_are_those_of_the_definition(seed):
    one, other, labels = models(seed, distinct=(9, 2, 100, 1)[seed])
    found = difference_and_variance(one, other, labels)
    assert found == pytest.approx(slow_delong(one, other, labels), abs=1e-14)
    assert found[0] == pytest.approx(roc_auc_score(labels, one) - roc_auc_score(labels, other), abs=1e-14)


def test_no_digit_depends_on_the_order_of_images():
    one, other, labels = models(1, n=400)
    order = np.random.default_rng(0).permutation(400)
    assert difference_and_variance(one, other, labels) == difference_and_variance(
        one[order], other[order], labels[order]
    )


@pytest.mark.parametrize("positives", [0, 1, 29, 30])
def test_a_class_of_one_image_has_no_variance(positives):
    one, other, _ = models(1, n=30)
    assert difference_and_variance(one, other, np.arange(30) < positives) is None


def test_a_model_beside_itself_has_no_variance_and_p_of_one():
    one, _, labels = models(1)
    assert difference_and_variance(one, one, labels) == (0, 0)
    assert normal_p(0, 0) == 1


def test_midranks_and_normal_p_are_scipys():
    values = np.array([3.0, 1, 1, 2, 3, 3, -1])
    assert midranks(values).tolist() == rankdata(values).tolist()
    assert normal_p(-0.03, 0.0002) == pytest.approx(2 * norm.sf(0.03 / math.sqrt(0.0002)))


def test_the_null_hypothesis_is_rejected_as_often_as_the_level_says():
    rng = np.random.default_rng(3)
    rejected = 0
    for _ in range(400):
        labels = rng.random(80) < 0.4
        one, other = rng.normal(size=(2, 80)) + labels
        rejected += normal_p(*difference_and_variance(one, other, labels)) < 0.1
    assert 20 <= rejected <= 62  # 40 are expected, 6 is one standard deviation


def by_definition(p_values):
    """Holm: the k-th smallest of m p-values times m - k + 1, never below a smaller one's."""
    p_values = np.array(p_values)
    order = np.argsort(p_values)
    corrected = np.empty(len(order))
    for k, place in enumerate(order):
        corrected[place] = min(1, max(p_values[order[j]] * (len(order) - j) for j in range(k + 1)))
    return corrected.tolist()


def test_holms_correction():
    for seed in range(5):
        p_values = np.random.default_rng(seed).random(15) ** 3
        assert holm(p_values.tolist()) == pytest.approx(by_definition(p_values))
    assert holm([None, 0.04, None, 0.5]) == [None, 0.08, None, 0.5]
    assert holm([]) == []


def test_bootstrap_p_counts_the_rarer_side():
    differences = np.array([0.1] * 97 + [-0.1] * 2)
    assert bootstrap_p(differences) == pytest.approx(2 * 3 / 100)
    assert bootstrap_p(np.zeros(99)) == 1
    assert bootstrap_p(np.full(99, np.nan)) is None
    assert bootstrap_p(np.empty(0)) is None


def test_the_images_that_differ_most_are_named():
    one, other, labels = models(2)
    names = [f"{i:03d}.png" for i in range(len(one))]
    columns = [pa.array([0] * len(one), pa.int32()), *map(pa.array, (names, labels, one, other))]
    found = measured(pa.Table.from_arrays(columns, schema=PAIRED))
    expected = sorted(range(len(one)), key=lambda i: (-abs(one[i] - other[i]), names[i]))[:3]
    assert found["images"] == [names[i] for i in expected]
    assert found["scores"] == one[expected].tolist()
    assert found["variance"] == pytest.approx(slow_delong(one, other, labels)[1])
