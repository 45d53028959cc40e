from __future__ import annotations

from types import SimpleNamespace

from cxr_spark.explanation.plan import ChosenPart, with_listing
from cxr_spark.explanation.shown import MAX_LISTED


def test_all_parts_together_list_no_more_than_the_page_does():
    """The number of images that each part may list, where every part knows its own."""
    parts = [ChosenPart(SimpleNamespace(number=i), frozenset(f"{i}-{j}" for j in range(900))) for i in range(5)]
    shares = [min(part.most_listed, part.images) for part in with_listing(parts)]
    assert shares == [900, 900, 200, 0, 0]
    assert sum(shares) == MAX_LISTED
