"""Folders as people unpack them: what they mean, and what is refused because it would be misread in silence."""

from __future__ import annotations

import pytest

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.folder import labels_from_folders
from cxr_spark.datasets.splits import assign_splits
from cxr_spark.errors import DataError

SETS = [f"{split}/{name}/{i}.png" for split in ("train", "val", "test") for name in ("NORMAL", "ILL") for i in "ab"]


def renamed(paths: list[str], **names: str) -> list[str]:
    return ["/".join(names.get(part, part) for part in path.split("/")) for path in paths]


@pytest.mark.parametrize(
    "names",
    [
        {"train": "Training", "val": "Validation", "test": "Testing"},
        {"train": "TRAIN_SET", "val": "valid-data", "test": "test images"},
        {"train": "train_images", "val": "dev", "test": "Test_Cases"},
        {"train": "training set", "val": "validation_set", "test": "testset"},
    ],
)
def test_split_folders_of_other_names(names: dict[str, str]) -> None:
    labels = labels_from_folders(renamed(SETS, **names))
    assert labels.findings == ("ILL", "NORMAL")
    assert assign_splits(labels, "column").table["split"].to_pylist() == [path.split("/")[0] for path in SETS]


def test_split_folders_below_the_classes() -> None:
    paths = ["/".join((c, s, f)) for s, c, f in (path.split("/") for path in SETS)]
    labels = labels_from_folders(paths)
    assert (labels.findings, labels.usual_split) == (("ILL", "NORMAL"), "column")
    assert assign_splits(labels, "column").table["split"].to_pylist() == [path.split("/")[0] for path in SETS]


@pytest.mark.parametrize("stray", ["unlabeled/A/x.png", "extra/x.png", "chest_xray/train/NORMAL/a.png", "_old/A/x.png"])
def test_a_stray_folder_beside_the_splits_is_named(stray: str) -> None:
    with pytest.raises(DataError, match=rf"beside the split folders test, train, val there is '{stray.split('/')[0]}'"):
        labels_from_folders([*SETS, stray])


def test_an_image_beside_the_split_folders_is_refused() -> None:
    with pytest.raises(DataError, match=r"'x\.png' lies in no class folder|beside the split folders"):
        labels_from_folders([*SETS, "x.png"])


@pytest.mark.parametrize(
    ("masks", "glob"),
    [
        (["COVID/masks/1.png", "NORMAL/masks/1.png"], "FOLDER/**/images"),
        (["COVID/Mask/1.png"], "FOLDER/**/images"),
        (["COVID/lung masks/1.png", "NORMAL/lung masks/1.png"], "FOLDER/**/images"),
        (["masks/COVID/1.png"], "FOLDER/**/images"),
    ],
)
def test_masks_beside_images_are_refused_with_the_glob_that_helps(masks: list[str], glob: str) -> None:
    images = ["COVID/images/1.png", "COVID/images/2.png", "NORMAL/images/1.png"]
    with pytest.raises(DataError, match=f"{len(masks)} of {3 + len(masks)} images lie in a folder") as error:
        labels_from_folders([*images, *masks])
    assert glob in str(error.value)
    assert labels_from_folders(images).warnings == ()


def test_files_named_like_masks_of_others_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 images are named like masks .* 'A/1_mask\.png'"):
        labels_from_folders(["A/1.png", "A/1_mask.png", "B/1.png"])
    assert labels_from_folders(["A/1_mask.png", "B/1.png"]).warnings == ()  # no other is beside it


def test_the_same_folders_below_every_class_are_told() -> None:
    labels = labels_from_folders([f"hospital{h}/{name}/1.png" for h in "12" for name in ("NORMAL", "ILL")])
    (warning,) = labels.warnings
    assert "hospital1, hospital2" in warning
    assert "ILL, NORMAL" in warning
    assert "--images 'FOLDER/*/ILL'" in warning
    assert labels_from_folders(["A/p1/1.png", "A/p2/1.png", "B/p3/1.png"]).warnings == ()


@pytest.mark.parametrize("other", ["Normal", "normal", "NOR MAL", "NOR_MAL"])
def test_classes_that_differ_in_spelling_alone_are_refused(other: str) -> None:
    with pytest.raises(DataError, match="differ only in case, blanks, underscores"):
        labels_from_folders(["NORMAL/1.png", f"{other}/2.png", "ILL/3.png"])
    with pytest.raises(DataError, match="differ only in case"):
        labels_from_folders(["train/NORMAL/1.png", f"test/{other}/2.png", "train/ILL/3.png"])


@pytest.mark.parametrize(("one", "other"), [("No Finding", "No-Finding"), ("Größe", "Gro\N{COMBINING DIAERESIS}ße")])
def test_hyphens_and_the_encoding_of_accents_make_no_other_class(one: str, other: str) -> None:
    with pytest.raises(DataError, match="would be two classes"):
        labels_from_folders([f"{one}/1.png", f"{other}/2.png", "ILL/3.png"])


@pytest.mark.parametrize("above", ["", "train/"])
def test_a_folder_beside_the_classes_that_holds_them_again_is_refused(above: str) -> None:
    with pytest.raises(
        DataError, match=r"'augmented' \(2 images\) stands a folder with the name of another class, 'A'"
    ):
        labels_from_folders([above + path for path in ("A/1.png", "B/2.png", "augmented/A/1.png", "augmented/B/2.png")])
    assert labels_from_folders(["A/A/1.png", "B/B/2.png"]).findings == ("A", "B")


@pytest.mark.parametrize("above", ["", "train/"])
def test_patients_that_are_numbered_like_a_class_are_no_class_and_told(above: str) -> None:
    paths = [
        f"{above}{label}/{patient}/{i}.png" for label in "01" for patient in range(int(label), 12, 2) for i in "ab"
    ]
    paths += [f"{above}0/1/other.png"]
    labels = labels_from_folders(paths)
    assert labels.findings == ("0", "1")
    assert labels.table["labels"].to_pylist() == [
        [float(c == "0"), float(c == "1")] for c in (p[len(above)] for p in paths)
    ]
    assert any(
        "folders below the classes have the number of a class, such as '0/1'" in line for line in labels.warnings
    )


@pytest.mark.parametrize(
    "again", [["2/0/a.png", "2/1/b.png"], ["old/0/a.png", "old/1/b.png", "old/7/c.png"], ["2/0/a.png", "2/x/b.png"]]
)
def test_numbered_classes_that_may_be_there_again_are_refused(again: list[str]) -> None:
    with pytest.raises(DataError, match="stands a folder with the name of another class, '0'"):
        labels_from_folders(["0/1.png", "1/2.png", *again])


def test_folders_named_for_split_and_class_at_once_are_refused() -> None:
    for names in (("trainA", "trainB", "testA", "testB"), ("train_ILL", "val_ILL", "train_NORMAL", "Test NORMAL")):
        with pytest.raises(DataError, match="named for a split and a class at once"):
            labels_from_folders([f"{name}/1.png" for name in names])
    assert labels_from_folders(["Valvular/1.png", "Testis/1.png"]).findings == ("Testis", "Valvular")


def test_previews_below_a_class_are_told() -> None:
    (warning,) = labels_from_folders(["A/1.png", "A/thumbnails/1.png", "B/2.png", "B/p3/4.png"]).warnings
    assert "1 images have the name of another image in a folder above them, such as 'A/thumbnails/1.png'" in warning


def test_files_whose_names_begin_like_masks_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 images are named like masks .* 'A/mask_1\.png'"):
        labels_from_folders(["A/1.png", "A/mask_1.png", "B/1.png"])


def test_classes_without_training_images_and_empty_validation_are_told() -> None:
    labels = labels_from_folders([path for path in SETS if not path.startswith("train/ILL")])

    def told(labels: LabelTable, method: str, **options: float) -> list[str]:
        warnings = assign_splits(labels, method, **options).warnings
        assert "the patient of" in warnings[0]  # these names tell no patients
        return list(warnings[1:])

    (warning,) = told(labels, "column")
    assert "1 findings have no training image" in warning
    assert "ILL" in warning
    whole = labels_from_folders(SETS)
    assert told(whole, "column") == []
    (empty,) = told(whole, "patient", val_fraction=0)
    assert "validation split is empty" in empty
