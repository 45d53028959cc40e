"""Lists of images to explain: plain ones, and the table of an evaluation's mistakes."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import pytest

from cxr_spark.errors import DataError
from cxr_spark.explanation.image_lists import ImageList, read_images_to_explain
from cxr_spark.reporting.tables import Column, Row, Table, as_csv

FINDINGS = ("Mass", "Pleural_Thickening", "No Finding", "-Odd")


def listed(folder: Path, text: str) -> ImageList:
    (folder / "list").write_text(text)
    found = read_images_to_explain(f"file://{folder}/list", FINDINGS)
    assert found is not None
    return found


def test_a_list_of_names_says_nothing_of_findings(tmp_path: Path) -> None:
    assert dict(listed(tmp_path, "Image Index\na.png\n\nb.png\na.png\n")) == {"a.png": (), "b.png": ()}


def test_a_table_says_for_which_findings_each_image_is_explained(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        "Finding;probability;Image Index\nmass;0.9;a.png\nPleural Thickening;0.8;a.png\nMass;0.7;b.png\nMass;1;a.png\n",
    )
    assert dict(found) == {"a.png": ("Mass", "Pleural_Thickening"), "b.png": ("Mass",)}
    assert dict(listed(tmp_path, "path,score\nx/a.png,1\n")) == {"x/a.png": ()}


def test_names_that_csv_files_write_otherwise_are_found(tmp_path: Path) -> None:
    """A name that a spreadsheet would take for a formula has an apostrophe before it in every table of the program."""
    names = ["=cmd|' /c calc'!A0.png", "-1.png", "@a.png", "plain.png", "with, comma.png"]
    rows = [Row((finding, name)) for name in names for finding in ("Mass", "-Odd")]
    table = Table("mistakes", (Column("Finding", "text", "finding"), Column("Image", "name", "image_index")), rows)
    found = pickle.loads(pickle.dumps(listed(tmp_path, as_csv(table))))
    for name in names:
        assert name in found
        assert found[name] == ("Mass", "-Odd")
    assert "1.png" not in found
    assert found.get("other.png", ()) == ()


def test_findings_that_the_model_does_not_know_are_left_out_and_told(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        found = listed(tmp_path, "image_index,finding\na.png,Mass\na.png,Hernia\nb.png,Hernia\n")
    assert dict(found) == {"a.png": ("Mass",)}
    assert "2 rows are left out" in caplog.text
    assert "Hernia" in caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image_index,finding\na.png,Hernia\n", "the model knows none of its findings, such as 'Hernia'"),
        ("image_index,finding\na.png,Mass\n,Mass\n", "line 3: image_index: is empty"),
        ("name,finding\na.png,Mass\n", "no column 'image_index'"),
        ("\n\n", "list"),
    ],
)
def test_lists_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError, match=told) as error:
        listed(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_faulty_line_of_a_plain_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 3: 'c.png;Mass' has columns") as error:
        listed(tmp_path, "a.png\nb.png\nc.png;Mass\nd.png\n")
    assert "\n" not in str(error.value)


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--image-list .*: no such file"):
        read_images_to_explain(f"file://{tmp_path}/list", FINDINGS)
