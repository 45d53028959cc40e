"""Raw images of one name: they are set aside, and what helps is said."""

from __future__ import annotations

from functools import partial

import pytest

from cxr_spark.errors import DataError
from cxr_spark.explanation.images import image_names
from cxr_spark.explanation.plan import choose
from cxr_spark.imaging.listing import ImageFile, ImageFiles
from cxr_spark.imaging.rejected import DUPLICATE_NAME
from cxr_spark.scoring.plan import NAMINGS, raw_parts

ROOT = "file:///d"
NAMES = partial(image_names, data=None)


def files(*paths: str, problem: str | None = None) -> ImageFiles:
    return ImageFiles([ImageFile(f"{ROOT}/{path}", ROOT, 1, 0.0, problem) for path in paths], 0)


def test_images_of_one_name_are_told_with_number_and_remedy(caplog: pytest.LogCaptureFixture) -> None:
    found = files("p1/study1/view1.jpg", "p2/study1/view1.jpg", "p3/study1/view2.jpg")
    parts, aside = raw_parts(found, NAMINGS["name"], 2)
    assert [image.image_index for part in parts for image in part.images] == ["view2.jpg"]
    assert aside.num_rows == 2
    assert "2 of 3 images have the name of another image" in caplog.text
    assert "--image-index path" in caplog.text
    caplog.clear()
    parts, aside = raw_parts(found, NAMINGS["path"], 2)
    assert (sum(len(part.images) for part in parts), aside.num_rows, caplog.text) == (3, 0, "")


def test_a_name_that_an_earlier_night_scored_is_told(caplog: pytest.LogCaptureFixture) -> None:
    raw_parts(files("study2/IMG0001.png", problem=DUPLICATE_NAME), NAMINGS["name"], 2)
    assert "1 of 1 images have the name of another image" in caplog.text
    assert "--image-index path" in caplog.text


def test_explaining_images_of_one_name_alone_names_the_option_that_helps() -> None:
    parts, _ = raw_parts(files("a/x.png", "b/x.png"), NAMINGS["name"], 2)
    with pytest.raises(DataError, match="--image-index path"):
        choose(parts, NAMES, None, 2)
    parts, _ = raw_parts(files("a/x.png"), NAMINGS["name"], 2)
    with pytest.raises(DataError, match="leave out --only boxed"):
        choose(parts, NAMES, {}, 2)
