"""Names of images that are written in two ways, as people's tables and folders have them."""

from __future__ import annotations

import pytest

from cxr_spark.datasets.matching import NameMatcher, renamed

NIH = ["00000001_000.png", "00000001_001.png", "00000002_000.png"]
FOLDERS = ["NORMAL/x.png", "NORMAL/y.png", "ILL/x.png"]


@pytest.mark.parametrize(
    ("known", "name", "row", "way"),
    [
        (NIH, "00000001_001.png", 1, None),
        (NIH, "/data/images_001/images/00000001_001.png", 1, "path"),
        (NIH, "C:\\data\\nih\\00000001_001.png", 1, "path"),
        (NIH, "./00000001_001.png", 1, "path"),
        (NIH, "00000001_001.PNG", 1, "case"),
        (
            ["\N{LATIN SMALL LETTER E WITH ACUTE}.png"],
            "e\N{COMBINING ACUTE ACCENT}.png",
            0,
            "case",
        ),  # as macOS writes it
        (NIH, "00000001_001", 1, "suffix"),
        (NIH, "x/00000001_001.jpg", 1, "suffix"),
        (NIH, "00000009_001.png", -1, None),
        (NIH, "", -1, None),
        (NIH, None, -1, None),
        (FOLDERS, "y.png", 1, "path"),
        (FOLDERS, "x.png", -1, None),  # two images are called so
        (FOLDERS, "data/ILL/x.png", 2, "path"),
        (FOLDERS, "SICK/y.png", -1, None),  # another folder's image
        (FOLDERS, "ill/X.jpeg", 2, "suffix"),
        (["a.png", "a.jpg"], "a.jpeg", -1, None),  # either could be meant
        (["a.png", "A.png"], "a.PNG", -1, None),
        (["1.2.840.1", "1.2.840.2"], "1.2.840.1.dcm", 0, "suffix"),
        (["1.2.840.1", "1.2.840.2"], "1.2.840", -1, None),
        (["x.png", "a/x.png"], "b/x.png", 0, "path"),
    ],
)
def test_what_is_found_and_how(known: list[str], name: str | None, row: int, way: str | None) -> None:
    rows, ways = NameMatcher(known).find([name])
    assert (rows.tolist(), ways) == ([row], [way])


def test_files_are_given_the_label_rows_that_are_plainly_theirs() -> None:
    labelled = ["a.png", "b.png", "c.png", "d.png"]
    found = renamed(["a.png", "a.jpg", "B.PNG", "c.jpg", "c.jpeg", "e.png"], labelled)
    assert found.names == {"B.PNG": "b.png"}  # a.png has its file, and two files could be c.png
    assert found.counts == {"path": 0, "case": 1, "suffix": 0}
    assert found.warnings() == [
        "1 images were matched with their labels without regard to upper and lower case, such as 'B.PNG' with 'b.png': "
        "if these are not the same images, write the names alike in folder and label file"
    ]
    assert renamed(["a.png"], labelled).warnings() == []
    assert renamed([], []).names == {}
