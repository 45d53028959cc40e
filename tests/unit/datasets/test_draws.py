"""What a seed draws stays the same to the bit: who prepares data again gets the same splits, samples and folds."""

from __future__ import annotations

import hashlib

import numpy as np

from cxr_spark.datasets.base import LabelTable, label_table
from cxr_spark.datasets.draws import place_in_draw, units_of
from cxr_spark.datasets.selection import Subset, select
from cxr_spark.datasets.splits import assign_splits
from cxr_spark.training.folds import assign_folds

NAMES = [f"{i:02d}.png" for i in range(20)]
#: The last image has no patient.
PATIENTS = [*(f"p{i // 2}" for i in range(19)), None]
#: What seed 42 drew before splits, samples and folds shared these functions.
TEST = ["00.png", "01.png", "14.png", "15.png", "18.png"]
VALIDATION = ["06.png", "07.png", "08.png", "09.png"]
SAMPLE = ["04.png", "07.png", "08.png", "11.png", "17.png", "18.png"]
FOLDS = [4, 4, 3, 3, 2, 2, 1, 1, 2, 2, 3, 3, 1, 1, 1, 1, 4, 4, 2, 3]


def labels() -> LabelTable:
    return LabelTable(label_table(NAMES, PATIENTS, np.ones((20, 1), np.float32)), ("A",))


def test_the_place_in_a_draw_is_a_hash_of_seed_purpose_and_name() -> None:
    expected = hashlib.blake2b("42 test patient Müller".encode(), digest_size=16).digest()
    assert place_in_draw(42, "test", "patient Müller") == expected


def test_the_splits_of_a_seed() -> None:
    table = assign_splits(labels(), "patient", val_fraction=0.3, test_fraction=0.3, seed=42).table
    split = dict(zip(table["image_index"].to_pylist(), table["split"].to_pylist(), strict=True))
    assert [name for name in NAMES if split[name] == "test"] == TEST
    assert [name for name in NAMES if split[name] == "val"] == VALIDATION


def test_the_sample_of_a_seed() -> None:
    taken = select(labels(), Subset(), {"A": 6}, images=NAMES, seed=42).labels
    assert taken.table["image_index"].to_pylist() == SAMPLE


def test_the_folds_of_a_seed() -> None:
    assert assign_folds(units_of(PATIENTS, NAMES), 4, 42).tolist() == FOLDS
