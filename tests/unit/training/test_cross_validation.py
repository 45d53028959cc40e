"""What a cross-validation says of its folds together."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_spark.training.cross_validation.results import spread


def test_mean_and_spread_over_the_folds_are_those_of_numpy() -> None:
    values = [0.71, 0.78, 0.802, 0.69, 0.75]
    found = spread(values)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert found.standard_deviation == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert (found.lowest, found.highest, found.folds) == (0.69, 0.802, 5)


def test_folds_without_an_auc_are_left_out_and_counted() -> None:
    one = spread([None, 0.8, None])
    assert one is not None
    assert (one.mean, one.standard_deviation, one.folds) == (0.8, None, 1)
    assert spread([None, None]) is None
