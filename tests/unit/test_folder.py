"""Class folders as labels, and the registry of datasets."""

from __future__ import annotations

import numpy as np
import pytest

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
    with pytest.raises(ConfigError, match="dataset 'mimic' is not known: expected one of nih, chexpert, rsna, folder"):
        dataset_named("mimic")
    file = LabelFile(b"", "x.csv")
    with pytest.raises(UsageError, match=r"leave out --labels x\.csv"):
        dataset_named("folder").read_labels(LabelSource((file,), ["A/a.png"]))
    with pytest.raises(UsageError, match="--labels is missing"):
        dataset_named("rsna").read_labels(LabelSource((), ["a"]))
    with pytest.raises(ConfigError, match=r"prepare\.uncertain means nothing to dataset 'nih', only to chexpert"):
        dataset_named("nih").read_labels(LabelSource((file,), [], uncertain="ones"))
    with pytest.raises(ConfigError, match=r"prepare\.positive_class means nothing to dataset 'rsna', only to folder"):
        dataset_named("rsna").read_labels(LabelSource((file,), [], positive_class="A"))
