"""Class folders as labels, and the registry of datasets."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_spark.datasets.folder import folder_image_index, labels_from_folders
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.datasets.registry import dataset_named
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


def test_registry_knows_how_images_are_named() -> None:
    uri, root = "hdfs://n:1/nih/images_001/images/00000001_000.png", "hdfs://n:1/nih"
    assert dataset_named("nih").image_index(uri, root) == "00000001_000.png"
    assert dataset_named("folder").image_index(uri, root) == "images_001/images/00000001_000.png"
    assert folder_image_index("file:///a/b.png", "file:///") == "a/b.png"
    assert dataset_named("nih").read_labels is read_nih_labels
    assert dataset_named("nih").labels_of_images is None
    assert dataset_named("folder").labels_of_images is labels_from_folders


def test_registry_errors() -> None:
    with pytest.raises(ConfigError, match="dataset 'mimic' is not known: expected one of nih, chexpert, folder"):
        dataset_named("mimic")
    with pytest.raises(UsageError, match=r"leave out --labels x\.csv"):
        dataset_named("folder").read_labels(b"", "x.csv")
