"""Which files of a folder tree are found as images, by folder and by glob."""

import os

import pytest

from cxr_spark.errors import DataError
from cxr_spark.imaging.listing import find_images

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
