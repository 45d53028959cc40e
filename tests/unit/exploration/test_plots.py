from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from scipy.stats import entropy

from cxr_spark.exploration.information import relative_information
from cxr_spark.exploration.plots import patients


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


def height_of_patients(**changes: Any) -> int:
    split = {
        "images": 5,
        "images_per_patient": {"histogram": {"1": 1, "4": 1}},
        "ages": {"histogram": {"40": 5}},
        "sex": {"F": 3, "not known": 2},
        "view_position": {"PA": 5},
        **changes,
    }
    made = io.BytesIO()
    patients({"train": split}, made)
    return Image.open(made).height


def test_what_is_not_known_of_patients_takes_no_room() -> None:
    whole = height_of_patients()
    unknown = {"not known": 5}
    assert height_of_patients(sex=unknown) == whole
    folders = {"ages": {"histogram": {}}, "sex": unknown, "view_position": unknown}
    assert height_of_patients(**folders) == pytest.approx(whole / 2, abs=1)
    assert height_of_patients(**folders, images_per_patient=None) == pytest.approx(whole / 2, abs=1)
