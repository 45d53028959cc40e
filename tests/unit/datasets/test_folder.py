"""Class folders as labels, and the registry of datasets."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_spark.config.labels import LabelSettings
from cxr_spark.datasets.base import LabelFile
from cxr_spark.datasets.folder import folder_image_index, labels_from_folders
from cxr_spark.datasets.registry import LabelSource, dataset_named
from cxr_spark.datasets.splits import assign_splits
from cxr_spark.errors import ConfigError, DataError, UsageError


def test_one_label_a_class_in_alphabetical_order() -> None:
    labels = labels_from_folders(["PNEUMONIA/b.png", "NORMAL/a.png", "COVID/x/y/c.png", "NORMAL/d.png"])
    assert labels.findings == ("COVID", "NORMAL", "PNEUMONIA")
    assert labels.table["image_index"].to_pylist()[2] == "COVID/x/y/c.png"
    assert np.stack(labels.table["labels"].to_numpy()).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert labels.given_split is None
    assert labels.table["patient_id"].null_count == 4


def test_split_folders_above_the_classes_are_splits() -> None:
    paths = ["train/NORMAL/a.png", "val/NORMAL/a.png", "test/ILL/b.png", "train/ILL/c.png"]
    labels = labels_from_folders(paths)
    assert labels.findings == ("ILL", "NORMAL")
    table = assign_splits(labels, "column").table
    assert table["split"].to_pylist() == ["train", "val", "test", "train"]


def test_a_class_may_be_named_like_a_split() -> None:
    labels = labels_from_folders(["valid/a.png", "invalid/a.png"])
    assert labels.findings == ("invalid", "valid")
    assert labels.given_split is None


@pytest.mark.parametrize(
    ("paths", "what"),
    [
        (["A/x.png", "y.png"], "'y.png' lies in no class folder"),
        (["A/x.png", "A/y.png"], r"1 class folders \(A\)"),
        (["train/A/x.png", "test/A/y.png"], r"1 class folders \(A\)"),
        ([], "0 class folders"),
    ],
)
def test_wrong_layouts(paths: list[str], what: str) -> None:
    with pytest.raises(DataError, match=what):
        labels_from_folders(paths)


def test_a_positive_class_against_all_others() -> None:
    labels = labels_from_folders(["PNEUMONIA/b.png", "NORMAL/a.png", "COVID/c.png"], "PNEUMONIA")
    assert labels.findings == ("PNEUMONIA",)
    assert np.stack(labels.table["labels"].to_numpy()).tolist() == [[1], [0], [0]]
    with pytest.raises(ConfigError, match=r"'PNEUMONI' is no class folder: expected one of A, B"):
        labels_from_folders(["A/a.png", "B/b.png"], "PNEUMONI")


def test_folders_that_are_splits_are_the_usual_split() -> None:
    assert labels_from_folders(["train/A/a.png", "test/B/b.png"]).usual_split == "column"
    assert labels_from_folders(["A/a.png", "B/b.png"]).usual_split == "patient"


def test_registry_knows_how_images_are_named() -> None:
    uri, root = "hdfs://n:1/nih/images_001/images/00000001_000.png", "hdfs://n:1/nih"
    assert dataset_named("nih").image_index(uri, root) == "00000001_000.png"
    assert dataset_named("folder").image_index(uri, root) == "images_001/images/00000001_000.png"
    assert dataset_named("rsna").image_index("file:///r/train/0004cfab-14fd.dcm", "file:///r") == "0004cfab-14fd"
    assert folder_image_index("file:///a/b.png", "file:///") == "a/b.png"


def test_registry_errors() -> None:
    with pytest.raises(ConfigError, match="'mimic' is not known: expected one of nih, chexpert, rsna, folder, csv"):
        dataset_named("mimic")
    file = LabelFile(b"", "x.csv")
    with pytest.raises(UsageError, match=r"leave out --labels x\.csv"):
        dataset_named("folder").read_labels(LabelSource((file,), ["A/a.png"]))
    with pytest.raises(UsageError, match="--labels is missing"):
        dataset_named("rsna").read_labels(LabelSource((), ["a"]))
    with pytest.raises(ConfigError, match=r"prepare\.uncertain means nothing to dataset 'nih', only to chexpert"):
        dataset_named("nih").read_labels(LabelSource((file,), [], LabelSettings(uncertain="ones")))
    with pytest.raises(ConfigError, match=r"prepare\.positive_class means nothing to dataset 'rsna', only to folder"):
        dataset_named("rsna").read_labels(LabelSource((file,), [], positive_class="A"))


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1000_virus_1681.jpeg", "person1000"),
        ("person1000_bacteria_2931.jpeg", "person1000"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("IM-0125-0001-0002.jpeg", "IM-0125"),
        ("NORMAL2-IM-0501-0001-0002.jpeg", "NORMAL2-IM-0501"),
        ("BACTERIA-1008087-0001.jpeg", "BACTERIA-1008087"),
        ("person1.jpeg", None),
        ("scan-0001.png", None),
    ],
)
def test_patients_are_told_by_kermanys_names(name: str, patient: str | None) -> None:
    labels = labels_from_folders([f"ILL/{name}", "NORMAL/other.png"])
    assert labels.table["patient_id"].to_pylist() == [patient, None]
    assert labels.notes["patients_unknown"] == (1 if patient else 2)


def test_images_of_a_patient_stay_together_where_no_split_is_given() -> None:
    paths = [f"PNEUMONIA/person{i // 5}_bacteria_{i}.jpeg" for i in range(200)]
    paths += [f"NORMAL/IM-{i // 2:04d}-{i % 2:04d}.jpeg" for i in range(60)]
    rows = assign_splits(labels_from_folders(paths), "patient").table.to_pandas()
    assert set(rows["split"]) == {"train", "val", "test"}
    assert rows.groupby("patient_id")["split"].nunique().max() == 1


def test_a_name_of_a_patient_in_two_given_splits_is_two_patients() -> None:
    """Kermany's set counts from person1 in train and in test."""
    paths = [f"{split}/ILL/person{i}_virus_{k}.jpeg" for split in ("train", "test") for i in range(9) for k in range(3)]
    paths += ["train/ILL/person77_virus_1.jpeg", "test/NORMAL/IM-0001-0001.jpeg"]
    labels = labels_from_folders(paths)
    assigned = assign_splits(labels, "column", val_fraction=0.3)
    assert assigned.notes == {"patients_of_one_name": 9}
    rows = assigned.table.to_pandas()
    assert {"train/person3", "test/person3", "person77", "IM-0001"} <= set(rows["patient_id"])
    assert rows.groupby("patient_id")["split"].nunique().max() == 1
    assert (rows["split"] == "val").sum() == 9  # three patients of ten, with all their images
    assert set(rows.loc[rows["image_index"].str.startswith("test/"), "split"]) == {"test"}
    again = assign_splits(labels, "patient").table.to_pandas()
    assert set(again.groupby("patient_id")["split"].nunique()) == {1}
    assert "person3" in set(again["patient_id"])
