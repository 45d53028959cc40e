from __future__ import annotations

import pytest
from scipy.stats import norm

from cxr_spark.exploration.shifts import shifts_of


def split(images=20_000, findings=None, sex=None, mean=46.0, std=16.0):
    findings = findings or {"Mass": 0.1, "No Finding": 0.5}
    return {
        "images": images,
        "findings": {
            name: {"positive": round(share * images), "negative": images - round(share * images)}
            for name, share in findings.items()
        },
        "sex": sex or {"F": images // 2, "M": images // 2},
        "view_position": {"not known": images},
        "ages": {"known": images, "mean": mean, "std": std},
    }


def test_equal_splits_have_no_shift_and_one_split_none_to_compare():
    assert shifts_of({"train": split(), "test": split()}) == []
    assert shifts_of({"train": split()}) == []


def test_a_finding_that_is_more_frequent_is_found_with_its_p_value():
    shares = {"Mass": 0.1, "No Finding": 0.64}
    (found,) = shifts_of({"train": split(findings=shares), "test": split(1000, {"Mass": 0.11, "No Finding": 0.38})})
    assert (found["what"], found["name"], found["split"], found["other"]) == ("finding", "No Finding", "train", "test")
    assert (found["value"], found["value_other"]) == (0.64, 0.38)
    pooled = (12_800 + 380) / 21_000
    z = 0.26 / (pooled * (1 - pooled) * (1 / 20_000 + 1 / 1000)) ** 0.5
    assert found["p_holm"] == pytest.approx(5 * 2 * norm.sf(z), rel=1e-6)  # two findings, two sexes, the age


def test_a_rare_finding_by_its_factor_and_ages_by_their_spread():
    tests = split(10_000, {"Mass": 0.02, "No Finding": 0.5}, mean=50.0)
    found = shifts_of({"train": split(10_000, {"Mass": 0.01, "No Finding": 0.5}), "test": tests})
    assert [row["name"] for row in found] == ["Mass", "mean age"]


def test_what_may_be_chance_is_no_shift():
    few = split(20, {"Mass": 0.25, "No Finding": 0.5}, mean=52.0)
    assert shifts_of({"train": split(), "test": few}) == []
