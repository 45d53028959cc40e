from __future__ import annotations

import pytest
from scipy.stats import entropy

from cxr_spark.exploration.information import relative_information


def test_relative_information_is_the_share_of_the_entropy() -> None:
    found = relative_information({"Healthy": 1684, "Pneumonia": 4808})
    assert found["entropy_bits"] == pytest.approx(entropy([1684, 4808], base=2))
    parts = [one["relative_information"] for one in found["findings"].values()]
    assert sum(parts) == pytest.approx(1)
    assert parts[0] > parts[1]  # the rarer of two tells more


def test_even_and_one_sided_classes() -> None:
    even = relative_information({"a": 5, "b": 5, "c": 5, "d": 5})
    assert even["evenness"] == pytest.approx(1)
    assert even["findings"]["a"]["relative_information"] == pytest.approx(0.25)
    one = relative_information({"a": 5, "b": 0})
    assert (one["entropy_bits"], one["evenness"]) == (0, 0)
    assert one["findings"]["a"]["relative_information"] is None
    assert relative_information({"a": 0})["evenness"] is None
