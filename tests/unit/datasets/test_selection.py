"""Subsets and exact samples against pandas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cxr_spark.datasets.base import LabelTable, label_table
from cxr_spark.datasets.selection import Subset, class_of_each, select
from cxr_spark.errors import ConfigError, DataError

RNG = np.random.default_rng(11)
ROWS = 400
FRAME = pd.DataFrame(
    {
        "image_index": [f"{i:03d}" for i in range(ROWS)],
        "sex": RNG.choice(["F", "M", None], ROWS),
        "view_position": RNG.choice(["PA", "AP", "LATERAL", None], ROWS),
        "age": np.where(RNG.random(ROWS) < 0.1, None, RNG.integers(0, 100, ROWS)),
        "a": RNG.integers(0, 2, ROWS),
        "b": RNG.integers(0, 2, ROWS),
    }
)
ALL = set(FRAME["image_index"])


def labels() -> LabelTable:
    table = label_table(
        FRAME["image_index"].tolist(),
        FRAME["image_index"].tolist(),
        FRAME[["a", "b"]].to_numpy(np.float32),
        view_position=FRAME["view_position"].tolist(),
        sex=FRAME["sex"].tolist(),
        age=FRAME["age"].tolist(),
    )
    return LabelTable(table, ("A", "B"), given_split=pa.array(FRAME["image_index"]))


def names(table: LabelTable) -> list[str]:
    assert table.given_split is not None
    index: list[str] = table.table["image_index"].to_pylist()
    assert index == table.given_split.to_pylist()
    return index


def test_without_conditions_everything_is_taken() -> None:
    given = labels()
    assert select(given, Subset(), {}, images=set(), seed=1) == (given, {})


def test_subset_keeps_what_meets_every_condition_and_counts_the_rest() -> None:
    found = ALL - {"000", "001", "002"}
    subset = Subset(sex="F", view_position=("PA", "LATERAL"), age=(18, 60))
    taken, counts = select(labels(), subset, {}, images=found, seed=1)
    rows = FRAME[FRAME["image_index"].isin(found)]
    women = rows[rows["sex"] == "F"]
    seen = women[women["view_position"].isin(["PA", "LATERAL"])]
    aged = seen[seen["age"].apply(lambda age: age is not None and 18 <= age <= 60)]
    assert names(taken) == aged["image_index"].tolist()
    assert counts["labels"] == ROWS
    assert counts["left_out"] == {
        "no_image": 3,
        "sex": len(rows) - len(women),
        "view_position": len(women) - len(seen),
        "age": len(seen) - len(aged),
    }
    assert counts["images"] == len(aged)
    both = aged["a"] + aged["b"]
    expected = {"A": int(((both == 1) & (aged["a"] == 1)).sum()), "B": int(((both == 1) & (aged["b"] == 1)).sum())}
    assert counts["classes"] == {**expected, "none": int((both == 0).sum())}


def test_the_class_is_the_only_finding() -> None:
    table = label_table(["1", "2", "3", "4"], [None] * 4, np.array([[1, 0], [1, 1], [0, 0], [np.nan, 1]], np.float32))
    classes: Any = class_of_each(LabelTable(table, ("A", "B"))).tolist()
    assert [classes[0], classes[2], classes[3]] == ["A", "none", "B"]
    assert pd.isna(classes[1])


def test_sample_is_exact_and_hangs_on_the_seed_alone() -> None:
    wanted = {"A": 20, "none": 35}
    taken, counts = select(labels(), Subset(), wanted, images=ALL, seed=1)
    assert counts["classes"] == wanted
    assert counts["left_out"] == {"no_image": 0, "sample": ROWS - 55}
    chosen = FRAME[FRAME["image_index"].isin(names(taken))]
    assert ((chosen["a"] == 1) & (chosen["b"] == 0)).sum() == 20
    assert ((chosen["a"] == 0) & (chosen["b"] == 0)).sum() == 35
    again, _ = select(labels(), Subset(), wanted, images=ALL, seed=1)
    other, _ = select(labels(), Subset(), wanted, images=ALL, seed=2)
    assert names(again) == names(taken)
    assert set(names(other)) != set(names(taken))
    more, _ = select(labels(), Subset(), {**wanted, "A": 25}, images=ALL, seed=1)
    assert set(names(taken)) < set(names(more))


def test_only_images_that_are_there_are_drawn() -> None:
    without = FRAME[(FRAME["a"] == 1) & (FRAME["b"] == 0)]["image_index"].tolist()
    taken, _ = select(labels(), Subset(), {"A": 5}, images=ALL - set(without[:-5]), seed=1)
    assert sorted(names(taken)) == without[-5:]


@pytest.mark.parametrize(
    ("subset", "sample", "error", "what"),
    [
        (Subset(), {"C": 1}, ConfigError, "prepare.sample names 'C', which is no class: expected some of A, B, none"),
        (Subset(sex="F"), {"A": 9999}, DataError, "asks for 9999 images of 'A', there are"),
        (Subset(), {"A": 0}, DataError, "draws no image"),
        (Subset(age=(101, 120)), {}, DataError, "leaves no image of 400: left out by no_image 0, age 400"),
    ],
)
def test_what_cannot_be_selected(subset: Subset, sample: dict[str, int], error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        select(labels(), subset, sample, images=ALL, seed=1)
