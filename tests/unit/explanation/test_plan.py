from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from cxr_spark.config import Settings
from cxr_spark.errors import DataError
from cxr_spark.explanation.boxes import Box, BoxList
from cxr_spark.explanation.image_lists import ImageList
from cxr_spark.explanation.job import ExplainJob
from cxr_spark.explanation.plan import ChosenPart, draw, with_listing
from cxr_spark.explanation.shown import MAX_LISTED


def test_all_parts_together_list_no_more_than_the_page_does():
    """The number of images that each part may list, where every part knows its own."""
    parts = [ChosenPart(SimpleNamespace(number=i), frozenset(f"{i}-{j}" for j in range(900))) for i in range(5)]
    shares = [min(part.most_listed, part.images) for part in with_listing(parts)]
    assert shares == [900, 900, 200, 0, 0]
    assert sum(shares) == MAX_LISTED


def test_images_are_drawn_the_same_however_they_are_cut_into_parts() -> None:
    names = [f"{i}.png" for i in range(40)]
    drawn: list[list[str]] = []
    for size in (1, 7, 40):
        parts = [SimpleNamespace(names=names[start : start + size]) for start in range(0, 40, size)]
        found = draw([ChosenPart(part) for part in parts], lambda part: part.names, 10, seed=3)
        drawn.append(sorted(name for part in found for name in part.names or ()))
        assert all(part.names and part.names <= set(part.part.names) for part in found)
    assert drawn[0] == drawn[1] == drawn[2]
    assert len(set(drawn[0])) == 10
    kept = [ChosenPart(SimpleNamespace(names=names), frozenset(names[:4]))]
    assert [part.names for part in draw(kept, lambda part: part.names, 10, seed=3)] == [frozenset(names[:4])]
    whole = [ChosenPart(SimpleNamespace(names=names))]
    assert draw(whole, lambda part: part.names, 10, seed=4) != draw(whole, lambda part: part.names, 10, seed=3)


@pytest.mark.parametrize(
    ("only", "listed", "told"),
    [
        ("boxed", "a.png", "in --image-list and has a box, too: leave out --only boxed or --image-list"),
        ("boxed", "elsewhere.png", "in --image-list and has a box, too"),
        ("all", "elsewhere.png", "none of the images is in --image-list: check"),
    ],
)
def test_an_empty_choice_tells_what_made_it_empty(only: str, listed: str, told: str) -> None:
    """The images a.png and b.png, of which b.png has a box."""
    settings = Settings().updated({"explain.only": only, "explain.boxes": "/boxes.csv"})
    job = ExplainJob(settings.explain, "/model", "/out", "/data")
    source = SimpleNamespace(names=lambda part: part.names)
    boxes = BoxList({"b.png": {"Mass": (Box(1, 1, 2, 2),)}}, Counter(Mass=1))
    parts = [SimpleNamespace(names=["a.png", "b.png"])]
    with pytest.raises(DataError, match=told):
        job._chosen(parts, source, boxes, ImageList({listed: ()}, "ab"))
    both = job._chosen(parts, source, boxes, ImageList({"b.png": ()}, "ab"))
    assert [part.names for part in both] == [frozenset({"b.png"})]
