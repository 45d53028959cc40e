"""Split assignment: by lists, by patient, by column, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cxr_spark.datasets.base import LabelTable, label_table
from cxr_spark.datasets.splits import assign_splits
from cxr_spark.errors import ConfigError, DataError
from cxr_spark.tables.schema import LABELS


def labels_of(rows: list[tuple[str, str | None]], given: list[str | None] | None = None) -> LabelTable:
    table = label_table([r[0] for r in rows], [r[1] for r in rows], np.ones((len(rows), 1), dtype=np.float32))
    return LabelTable(table, ("Mass",), given_split=None if given is None else pa.array(given, type=pa.string()))


def many(patients: int, images_each: int = 3) -> LabelTable:
    return labels_of([(f"{p}_{i}.png", str(p)) for p in range(patients) for i in range(images_each)])


def frame_of(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.select(["image_index", "patient_id", "split"]).to_pandas()
    return frame


def splits_by_image(table: pa.Table) -> dict[str, str]:
    frame = frame_of(table)
    return dict(zip(frame["image_index"], frame["split"], strict=True))


def patients_by_split(table: pa.Table) -> dict[str, set[str]]:
    groups = frame_of(table).groupby("split")["patient_id"]
    return {str(split): set(patients) for split, patients in groups}


def test_official_lists_are_followed_and_validation_is_carved_by_patient() -> None:
    labels = many(100)
    names = labels.table["image_index"].to_pylist()
    train, test = names[:240], names[240:]
    result = assign_splits(
        labels, "official", train_list="\r\n".join(train).encode(), test_list="\n".join(test).encode(), val_fraction=0.1
    )
    assert result.table.schema.equals(LABELS)
    assert result.table["image_index"].to_pylist() == names
    patients = patients_by_split(result.table)
    assert {split: len(group) for split, group in patients.items()} == {"train": 72, "val": 8, "test": 20}
    assert patients["test"] == {str(p) for p in range(80, 100)}
    assert not patients["train"] & patients["val"]
    assert result.notes == {"images_in_no_list": 0, "list_entries_without_label": 0}


def test_official_counts_what_the_lists_and_labels_do_not_share() -> None:
    labels = labels_of([("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")])
    result = assign_splits(labels, "official", train_list=b"b\na\nx\ny\nx\n", test_list=b"c\nz", val_fraction=0)
    assert splits_by_image(result.table) == {"a": "train", "b": "train", "c": "test"}
    assert result.notes == {"images_in_no_list": 1, "list_entries_without_label": 3}


def test_lists_may_write_the_names_otherwise() -> None:
    labels = labels_of([("a_1.png", "1"), ("b_1.png", "2"), ("c_1.png", "3"), ("d/e.png", "4"), ("f/e.png", "5")])
    result = assign_splits(
        labels,
        "official",
        train_list=b"images\\a_1.png\r\nimages/b_1.png\r\n",
        test_list=b"c_1\ne.png\n",  # e.png could be two images
        val_fraction=0,
    )
    assert splits_by_image(result.table) == {"a_1.png": "train", "b_1.png": "train", "c_1.png": "test"}
    assert result.notes == {
        "images_in_no_list": 2,
        "list_entries_without_label": 1,
        "list_names_matched_by_path": 2,
        "list_names_matched_by_case": 0,
        "list_names_matched_by_suffix": 1,
    }
    path, suffix, outside, unlabelled, _ = result.warnings  # the last: no validation images
    assert path.startswith("2 images of the lists were matched with labels by the last parts of their paths, such as")
    assert "'c_1'" not in path
    assert suffix.startswith("1 images of the lists were matched with labels without regard to the suffix")
    assert outside.startswith("2 of 5 labelled images are in neither list")
    assert unlabelled.startswith("1 of 4 images of the lists have no label")


def test_official_without_lists_names_the_options() -> None:
    with pytest.raises(ConfigError, match=r"--train-list and --test-list.*--split patient"):
        assign_splits(many(2), "official")
    with pytest.raises(ConfigError, match="needs --test-list:"):
        assign_splits(many(2), "official", train_list=b"0_0.png")


@pytest.mark.parametrize(
    ("train", "test", "what"),
    [
        (b"0_0.png\n1_0.png", b"2_0.png\n1_0.png", "'1_0.png' is in both"),
        (b"train/8_0.png", b"train/9_0.png", "none of the 2 images.*'train/8_0.png'.*'0_0.png'"),
        (b"0_0.png", b"C:\\x\\0_0.png\n1_0.png", "'0_0.png' is in both the train list and the test list"),
        (b"", b"1_0.png", "train list: is empty"),
        (b"0_0.png", b"\x89PNG\r\n\0", "test list: is a PNG"),
        (b"Image Index,Finding Labels\n0_0.png,Mass", b"1_0.png", "train list, line 1: .* has columns"),
        (b"0_0.png", b"0_1.png", "patient '0' is in two splits: '0_0.png' in train, '0_1.png' in test"),
    ],
)
def test_official_refuses_wrong_lists(train: bytes, test: bytes, what: str) -> None:
    with pytest.raises(DataError, match=what):
        assign_splits(many(3), "official", train_list=train, test_list=test)


def test_patient_split_has_the_fractions_and_shares_no_patient() -> None:
    patients = patients_by_split(assign_splits(many(1000), "patient", test_fraction=0.2, val_fraction=0.1).table)
    assert {split: len(group) for split, group in patients.items()} == {"train": 720, "val": 80, "test": 200}
    assert len(patients["train"] | patients["val"] | patients["test"]) == 1000


def test_patient_split_depends_on_the_seed_alone() -> None:
    labels = many(200)
    order = np.random.default_rng(1).permutation(labels.table.num_rows)
    shuffled = LabelTable(labels.table.take(order), labels.findings)
    first = splits_by_image(assign_splits(labels, "patient", seed=7).table)
    assert splits_by_image(assign_splits(shuffled, "patient", seed=7).table) == first
    assert splits_by_image(assign_splits(labels, "patient", seed=8).table) != first


def test_patient_split_is_pinned_across_versions() -> None:
    """A change of the draw would move patients from training into testing of models that are in use."""
    split = splits_by_image(assign_splits(many(10, 1), "patient", seed=42, test_fraction=0.3, val_fraction=0.3).table)
    assert {name for name, where in split.items() if where == "test"} == {"1_0.png", "7_0.png", "9_0.png"}
    assert {name for name, where in split.items() if where == "val"} == {"4_0.png", "6_0.png"}


def test_validation_draw_is_independent_of_the_test_draw() -> None:
    """Were both the same order, validation would be the patients next to the test ones, whatever the seed's purpose."""
    labels = many(300, 1)
    tested = patients_by_split(assign_splits(labels, "patient", test_fraction=0.1, val_fraction=0).table)["test"]
    carved = patients_by_split(assign_splits(labels, "patient", test_fraction=0, val_fraction=0.1).table)["val"]
    assert len(tested) == len(carved) == 30
    assert len(tested & carved) < 15


def test_images_without_patient_stand_alone() -> None:
    labels = labels_of([(f"{i}.png", None) for i in range(100)])
    counts = frame_of(assign_splits(labels, "patient").table)["split"].value_counts()
    assert dict(counts) == {"train": 72, "test": 20, "val": 8}


def test_a_patient_named_like_an_image_is_not_mixed_up_with_it() -> None:
    labels = labels_of([("a", None), ("b", "a"), ("c", "a")], ["train", "test", "test"])
    assert assign_splits(labels, "column", val_fraction=0).table.num_rows == 3


@pytest.mark.parametrize(
    ("patients", "expected"), [(1, {"train"}), (2, {"train", "test"}), (3, {"train", "val", "test"})]
)
def test_few_patients_leave_no_split_empty_where_avoidable(patients: int, expected: set[str]) -> None:
    assert set(patients_by_split(assign_splits(many(patients), "patient").table)) == expected


def test_zero_fractions_mean_none() -> None:
    table = assign_splits(many(50), "patient", test_fraction=0, val_fraction=0).table
    assert set(table["split"].to_pylist()) == {"train"}


def test_column_values_and_synonyms() -> None:
    labels = labels_of(
        [(str(i), str(i)) for i in range(7)], ["train", "Valid", "TEST ", "validation", "val", "dev", "Training"]
    )
    assert assign_splits(labels, "column").table["split"].to_pylist() == [
        "train",
        "val",
        "test",
        "val",
        "val",
        "val",
        "train",
    ]


def test_column_without_validation_has_it_carved_out_of_training() -> None:
    labels = many(40, 1)
    given = pa.array(["test"] * 10 + ["train"] * 30)
    patients = patients_by_split(assign_splits(LabelTable(labels.table, ("Mass",), given_split=given), "column").table)
    assert patients["test"] == {str(p) for p in range(10)}
    assert len(patients["val"]) == 3


@pytest.mark.parametrize("value", ["train_val", "", None, "0", "holdout"])
def test_column_with_another_value_names_the_image(value: str | None) -> None:
    labels = labels_of([("a", "1"), ("b", "2")], ["train", value])
    with pytest.raises(DataError, match=f"image 'b' has the split '{value or ''}': expected one of train"):
        assign_splits(labels, "column")


def test_column_missing_or_splitting_a_patient() -> None:
    with pytest.raises(DataError, match="needs a column 'split'"):
        assign_splits(many(2), "column")
    labels = labels_of([("a", "1"), ("b", "9"), ("c", "9")], ["train", "train", "val"])
    with pytest.raises(DataError, match="patient '9' is in two splits: 'b' in train, 'c' in val"):
        assign_splits(labels, "column")


def test_bad_settings() -> None:
    with pytest.raises(ConfigError, match="'random' is not known: expected one of official, patient, column"):
        assign_splits(many(2), "random")
    with pytest.raises(ConfigError, match=r"val_fraction is 1\.0"):
        assign_splits(many(2), "patient", val_fraction=1.0)
    with pytest.raises(ConfigError, match="test_fraction is nan"):
        assign_splits(many(2), "patient", test_fraction=float("nan"))
