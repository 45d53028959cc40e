"""Which files of a folder tree are found as images, by folder and by glob."""

import io
import os
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from PIL import Image

from cxr_spark.errors import DataError, RunError
from cxr_spark.imaging.listing import find_images, survey_images
from cxr_spark.imaging.reading import read_image_file
from cxr_spark.imaging.rejected import ImageRejected
from cxr_spark.storage.store import Store
from tests.support.capabilities import permissions_hold
from tests.support.dicom_files import dicom_bytes

NAMES = [
    "images_001/images/00000001_000.png",
    "images_001/images/00000001_001.PNG",
    "images_002/images/00000002_000.jpg",
    "images_002/images/a b%20c%/später ü.jpeg",
    "images_10/deep/er/x[1].png",
]
OTHERS = ["Data_Entry_2017.csv", "README.txt", "images_001/images/.DS_Store", "images_001/00000001_000.png.txt"]
HIDDEN = ["images_001/._00000001_000.png", "_old/00000001_000.png", "images_002/.cache/deep/x.png", "_x.jpg"]


@pytest.fixture
def tree(tmp_path):
    for name in [*NAMES, *OTHERS, *HIDDEN]:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * len(name))
    return tmp_path


def below(tree, files):
    return [file.uri.removeprefix(f"file://{tree}/") for file in files]


def test_folder_is_searched_with_all_below_it(tree):
    found = find_images([f"file://{tree}"])
    assert below(tree, found.files) == sorted([*NAMES, *HIDDEN])
    assert [f.size for f in found.files] == [len(name) for name in sorted([*NAMES, *HIDDEN])]
    assert found.ignored == len(OTHERS)
    assert below(tree, [f for f in found.files if f.problem == "hidden_name"]) == sorted(HIDDEN)
    assert {f.problem for f in found.files} == {None, "hidden_name"}
    assert {f.root for f in found.files} == {f"file://{tree}"}


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("images_*/images", NAMES[:4]),
        ("images_*/images/*.png", NAMES[:1]),
        ("images_00?/images/*", NAMES[:4]),
        ("images_00[12]", [*NAMES[:4], HIDDEN[0], HIDDEN[2]]),
        ("images_00[!1]", [*NAMES[2:4], HIDDEN[2]]),
        ("images_{001,10}/**/*.{png,PNG}", [*NAMES[:2], NAMES[4], HIDDEN[0]]),
        ("**/*.jpg", [NAMES[2], HIDDEN[3]]),
        ("*.jpg", [HIDDEN[3]]),
        ("images_001/images/00000001_000.png", NAMES[:1]),  # a file, not a folder
        ("images_002/images/a b%20c%", NAMES[3:4]),
    ],
)
def test_globs(tree, glob, expected):
    assert below(tree, find_images([f"file://{tree}/{glob}"]).files) == sorted(expected)


def test_literal_name_with_wildcard_characters_wins(tree):
    odd = tree / "set[1]"
    odd.mkdir()
    (odd / "y.png").touch()
    assert below(tree, find_images([f"file://{odd}"]).files) == ["set[1]/y.png"]


def test_overlapping_patterns_give_each_file_once(tree):
    patterns = [f"file://{tree}/images_001", f"file://{tree}", f"file://{tree}/images_001/images/*.png"]
    found = find_images(patterns)
    assert below(tree, found.files) == sorted([*NAMES, *HIDDEN])
    assert found.ignored == len(OTHERS)


def test_hidden_is_judged_below_the_searched_folder_only(tree):
    found = find_images([f"file://{tree}/_old"])
    assert [f.problem for f in found.files] == [None]


def test_names_that_are_not_text_are_set_aside(tmp_path):
    (tmp_path / "line\nbreak.png").touch()
    with open(os.fsencode(tmp_path) + b"/latin\xe4.png", "wb"):  # noqa: PTH123 - Path takes no bytes
        pass
    found = find_images([f"file://{tmp_path}"])
    assert [f.problem for f in found.files] == ["unusable_name"] * 2


@pytest.mark.parametrize("pattern", ["nothing", "nothing/*.png", "images_*/none/*.png", "images_001/images/x.png"])
def test_pattern_without_a_file_is_an_error(tree, pattern):
    with pytest.raises(DataError, match="no file matches"):
        find_images([f"file://{tree}/{pattern}"])


def test_empty_folder_has_no_files(tmp_path):
    assert find_images([f"file://{tmp_path}"]) == ([], 0)


# --- files are told by their contents where their names say nothing --------------------------------------------------


def image_bytes(form):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["x.jfif", "x.JPE", "x", "IM0001", "1.2.840.113619.2.5", "x.png_", "x.dicom", "x.ima"])
@pytest.mark.parametrize("content", [image_bytes("PNG"), image_bytes("JPEG"), dicom_bytes(np.zeros((8, 8), np.uint8))])
def test_images_with_unusual_names_or_none_are_found(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    found = find_images([f"file://{tmp_path}"])
    assert [file.uri for file in found.files] == [f"file://{tmp_path}/{name}"]
    assert found.ignored == 0


def test_what_is_ignored_is_counted_by_suffix_and_classes_without_images_are_named(tmp_path, caplog):
    for name in (
        "A/1.png",
        "A/2.tif",
        "B/1.tif",
        "B/deep/2.TIF",
        "C/1.bmp",
        "C/Thumbs.db",
        "D/readme",
        "E/1.png",
        "x.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"II*\0 something" if "tif" in name.lower() else b"something")
    with caplog.at_level("WARNING"):
        found = find_images([f"file://{tmp_path}"])
    assert len(found.files) == 2
    assert found.ignored == 7
    (counted,) = [r.getMessage() for r in caplog.records if "ignored 7 files" in r.getMessage()]
    assert all(words in counted for words in (".tif 3", ".bmp 1", ".csv 1", ".db 1", "none 1"))
    (bare,) = [r.getMessage() for r in caplog.records if "without any image" in r.getMessage()]
    assert all(f"file://{tmp_path}/{name}" in bare for name in "BCD")
    assert bare.startswith("3 folders")
    assert "deep" not in bare
    assert survey_images([f"file://{tmp_path}"]).ignored.warnings() == [counted, bare]


def test_tables_beside_images_are_no_reason_to_warn(tmp_path, caplog):
    (tmp_path / "1.png").write_bytes(b"x")
    (tmp_path / "Data_Entry_2017.csv").write_bytes(b"x")
    with caplog.at_level("WARNING"):
        assert find_images([f"file://{tmp_path}"]).ignored == 1
    assert not caplog.records


def test_the_index_of_a_dicom_disk_is_no_image(tmp_path):
    index = Path(pydicom.data.__file__).parent / "test_files" / "dicomdirtests" / "DICOMDIR"
    (tmp_path / "DICOMDIR").write_bytes(index.read_bytes())
    found = find_images([f"file://{tmp_path}"])
    assert not found.files
    assert found.ignored == 1


def test_a_link_to_itself_is_set_aside_when_it_is_read(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "good.png").write_bytes(image_bytes("PNG"))
    found = find_images([f"file://{tmp_path}"])
    assert below(tmp_path, found.files) == ["good.png", "loop.png"]
    with pytest.raises(ImageRejected, match="unreadable"):
        read_image_file(found.files[1].uri, found.files[1].size)


@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_folders_that_may_not_be_read_are_named_and_the_others_are_found(tmp_path, caplog, mode):
    for name in ("open/1.png", "lost+found/deep/2.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "lost+found").chmod(mode)
    try:
        with permissions_hold(), caplog.at_level("WARNING"):
            found = find_images([f"file://{tmp_path}"])
            with pytest.raises(RunError, match=r"lost\+found"):
                list(Store(f"file://{tmp_path}").files())
            with pytest.raises(RunError, match=r"lost\+found"):
                find_images([f"file://{tmp_path}/lost+found"])
    finally:
        (tmp_path / "lost+found").chmod(0o700)
    assert below(tmp_path, found.files) == ["open/1.png"]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("1 folders may not be read")
    assert f"{tmp_path}/lost+found" in warning


def test_a_file_that_may_not_be_read_is_kept_for_the_reader_to_judge(tmp_path):
    (tmp_path / "IM1").write_bytes(image_bytes("PNG"))
    (tmp_path / "IM1").chmod(0)
    with permissions_hold():
        assert below(tmp_path, find_images([f"file://{tmp_path}"]).files) == ["IM1"]
