"""The rates of a range test, and the rate that its losses speak for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxr_spark.training.range_test.plan import RangePlan, TriedRate, has_diverged, smoothed, steepest_place


def tried(losses: list[float]) -> list[TriedRate]:
    return [TriedRate(learning_rate=rate, loss=loss) for rate, loss in zip(rates(len(losses)), losses, strict=True)]


def rates(steps: int) -> list[float]:
    plan = RangePlan(steps=steps)
    return [plan.rate(step) for step in range(steps)]


def test_the_rates_are_those_of_numpys_geometric_sequence() -> None:
    np.testing.assert_allclose(rates(100), np.geomspace(1e-7, 1.0, 100), rtol=1e-12)


def test_the_smoothed_loss_is_that_of_pandas() -> None:
    losses = np.random.default_rng(2).random(60)
    np.testing.assert_allclose(smoothed(losses.tolist()), pd.Series(losses).ewm(alpha=0.1).mean(), rtol=1e-12)


@pytest.mark.parametrize(("last", "ended"), [(15.0, False), (16.0, True)])
def test_four_times_the_lowest_smoothed_loss_is_the_end(last: float, ended: bool) -> None:
    """After 40 losses of 0.5 the smoothed one is 0.45 and a tenth of the last, which is 2 at 15.5."""
    assert has_diverged([0.5] * 40 + [last], RangePlan(steps=100)) == ended


def test_a_few_odd_steps_at_the_beginning_are_not_the_end() -> None:
    assert not has_diverged([0.5, 9.0], RangePlan(steps=100))
    assert not has_diverged([0.0, 0.7], RangePlan(steps=100))


def test_the_suggestion_is_where_the_loss_falls_fastest() -> None:
    exponents = np.log10(rates(100))
    losses = 0.2 + 0.5 / (1 + np.exp(4 * (exponents + 3.5)))  # falls fastest at 10**-3.5
    place = steepest_place(tried(losses.tolist()))
    assert place is not None
    assert abs(exponents[place] + 3.5) < 0.15  # two steps


@pytest.mark.parametrize("losses", [[], [0.7], np.linspace(0.7, 2.0, 50).tolist(), [0.7] * 50])
def test_no_rate_is_suggested_where_none_lowers_the_loss(losses: list[float]) -> None:
    steps = [TriedRate(learning_rate=1e-7 * 2**i, loss=loss) for i, loss in enumerate(losses)]
    assert steepest_place(steps) is None
