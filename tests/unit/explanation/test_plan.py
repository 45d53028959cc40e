from __future__ import annotations

from types import SimpleNamespace

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
