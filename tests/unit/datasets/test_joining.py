"""Image files and labels whose names are written in different ways."""

from __future__ import annotations

import pytest

from cxr_spark.datasets.joining import DOUBTFUL, join_names
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.datasets.registry import dataset_named

ROOT = "file:///data"


def joined(files: list[str], labels: list[str]):
    table = read_nih_labels("\n".join(["Image Index,Finding Labels", *(f"{n},Mass" for n in labels)]).encode(), "l.csv")
    dataset = dataset_named("nih")
    uris = {dataset.image_index(f"{ROOT}/{file}", ROOT): f"{ROOT}/{file}" for file in files}
    return join_names(dataset, uris, table)


@pytest.mark.parametrize(
    ("file", "way"), [("a_1.PNG", "case"), ("A_1.png", "case"), ("a_1.jpg", "suffix"), ("A_1.jpeg", "suffix")]
)
def test_names_that_differ_are_joined_counted_and_told(file: str, way: str) -> None:
    found = joined([f"images_001/{file}", "b_1.png"], ["a_1.png", "b_1.png", "c_1.png"])
    assert found.uris == {"a_1.png": f"{ROOT}/images_001/{file}", "b_1.png": f"{ROOT}/b_1.png"}
    assert found.image_index(f"{ROOT}/images_001/{file}", ROOT) == "a_1.png"
    assert found.labels.notes[f"names_matched_by_{way}"] == 1
    (warning,) = found.labels.warnings
    assert warning.startswith("1 images were matched")
    assert f"such as '{file}' with 'a_1.png'" in warning


def test_names_that_are_alike_leave_no_word() -> None:
    found = joined(["a_1.png"], ["a_1.png", "b_1.png"])
    assert found.labels.warnings == ()
    assert not any(name.startswith("names_matched") for name in found.labels.notes)


def test_images_whose_label_is_in_doubt_are_counted_and_told() -> None:
    files = ["a.jpg", "p1/b.jpg", "p1/B.JPEG", "c.png", "nobody.png"]
    found = joined(files, ["a.png", "A.jpeg", "b.png", "c.png"])  # a.jpg could be two, b.png could be two images
    assert found.labels.notes[DOUBTFUL] == 3
    assert sorted(found.uris) == ["B.JPEG", "a.jpg", "b.jpg", "c.png", "nobody.png"]
    (doubt,) = found.labels.warnings
    assert doubt.startswith("3 images could be of several labels")
    assert "'a.jpg'" in doubt
    alike = joined(["c.png", "nobody.png"], ["c.png"])
    assert DOUBTFUL not in alike.labels.notes
    assert alike.labels.warnings == ()
