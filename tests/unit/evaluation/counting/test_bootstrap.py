from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from cxr_spark.evaluation.counting.bootstrap import percentile_interval, poisson_weights

KEYS = np.random.default_rng(5).integers(-(2**63), 2**63, 2000)


def test_weights_are_poisson_with_mean_one():
    weights = poisson_weights(KEYS, seed=42, first=1, stop=501)
    observed = np.bincount(weights.ravel(), minlength=30)[:8] / weights.size
    np.testing.assert_allclose(observed, poisson(1).pmf(np.arange(8)), atol=6 * np.sqrt(0.25 / weights.size))


def test_weights_of_patients_replicates_and_seeds_are_independent():
    weights = poisson_weights(KEYS, seed=42, first=1, stop=301).astype(float)
    other = poisson_weights(KEYS, seed=43, first=1, stop=301).astype(float)
    noise = 6 / np.sqrt(KEYS.size)  # six standard errors of a correlation of independent columns
    between_replicates = np.corrcoef(weights, rowvar=False)[np.triu_indices(300, 1)]
    assert np.abs(between_replicates).max() < noise
    assert np.abs([np.corrcoef(weights[:, b], other[:, b])[0, 1] for b in range(300)]).max() < noise
    # Patients numbered 1, 2, 3 ... must be as independent as any.
    near = poisson_weights(np.arange(2000), seed=0, first=1, stop=301).astype(float)
    assert np.abs([np.corrcoef(near[:-1, b], near[1:, b])[0, 1] for b in range(300)]).max() < noise


def test_a_weight_depends_on_seed_patient_and_replicate_alone():
    whole = poisson_weights(KEYS, seed=7, first=0, stop=50)
    shuffled = np.random.default_rng(0).permutation(KEYS.size)
    np.testing.assert_array_equal(poisson_weights(KEYS[shuffled], seed=7, first=0, stop=50), whole[shuffled])
    np.testing.assert_array_equal(poisson_weights(KEYS[:3], seed=7, first=20, stop=30), whole[:3, 20:30])


def test_replicate_zero_is_the_sample_itself():
    assert (poisson_weights(KEYS, seed=1, first=0, stop=3)[:, 0] == 1).all()


def test_interval_is_of_quantiles():
    assert percentile_interval(np.arange(1001) / 1000) == pytest.approx([0.025, 0.975])


def test_interval_needs_enough_replicates_with_both_classes():
    values = np.arange(100.0)
    values[:5] = np.nan
    assert percentile_interval(values) is not None
    values[5] = np.nan
    assert percentile_interval(values) is None
    assert percentile_interval(np.empty(0)) is None
