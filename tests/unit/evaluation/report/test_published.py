from __future__ import annotations

import numpy as np
import pytest

from cxr_spark.datasets.findings import NIH_FINDINGS
from cxr_spark.evaluation.report.published import beside_published, published
from cxr_spark.evaluation.report.tables import _published

OFFICIAL = {"dataset": "nih", "split": "official"}


def numbers(n_images=25_596, names=NIH_FINDINGS, **aucs):
    return {"n_images": n_images, "findings": {name: {"auc": aucs.get(name, 0.8)} for name in names}}


def test_the_mean_is_of_the_fourteen_findings_without_no_finding():
    found = beside_published(numbers(Hernia=0.94, **{"No Finding": 0.1}), OFFICIAL)
    assert found["mean_auc"] == pytest.approx(np.mean([0.94] + [0.8] * 13))
    assert beside_published(numbers(names=NIH_FINDINGS[:5]), OFFICIAL) is None


@pytest.mark.parametrize(
    ("changes", "prepared", "said"),
    [
        ({"n_images": 966}, OFFICIAL, "966 are evaluated"),
        ({}, {"dataset": "nih", "split": "patient"}, "split by patient"),
        ({}, {"dataset": "chexpert"}, "data set chexpert"),
        ({"Hernia": None}, OFFICIAL, "one class only"),
    ],
)
def test_other_images_are_not_compared_with(changes, prepared, said):
    found = beside_published(numbers(**changes), prepared)
    assert not found["comparable"]
    assert said in found["why_not"]
    assert "this evaluation" not in [row.cells[0] for row in _published(found).rows]


@pytest.mark.parametrize("prepared", [OFFICIAL, {}])
def test_the_official_test_list_stands_among_the_official_figures_alone(prepared):
    rows = _published(beside_published(numbers(), prepared, 224)).rows
    names = [row.cells[0] for row in rows]
    own = names.index("this evaluation")
    assert rows[own].cells[3] == 224
    splits = [row.cells[2] for row in rows]
    assert splits == sorted(splits)  # official before random
    assert rows[own - 1].cells[4] <= 0.8 < rows[own + 1].cells[4]
    assert [row.faint for row in rows] == [split == "random" for split in splits]


def test_every_figure_has_a_source_and_the_known_ones_are_there():
    by_split = {split: {f.mean_auc for f in published() if f.split == split} for split in ("official", "random")}
    assert by_split["random"] == {0.841, 0.809}
    assert {0.745, 0.761, 0.806, 0.807, 0.817, 0.835, 0.830, 0.836, 0.843} == by_split["official"]
    assert all(figure.source for figure in published())
