"""The page of an exploration: pictures where they are wanted, and texts of any kind and length."""

from __future__ import annotations

import pytest

from tests.support.evaluations import HOSTILE, Page
from tests.support.explorations import PICTURE, facts_of, page_of


def test_examples_and_what_was_set_aside_are_shown_with_their_pictures():
    text = page_of(facts_of(("Mass", "Edema"), ("a.png", "b.png", "c.png")))
    # a and c have pictures: in the rows of two findings, and of two reasons
    assert Page(text).sources.count(PICTURE) == 2 * 2 + 2 * 2
    shown = " ".join("".join(Page(text).text).split())
    assert "prepare could not use 6 images" in shown
    assert "prepare set 7 images aside, and the table of them names 6" in shown
    assert "A checksum is wrong or the contents contradict themselves." in shown
    assert "b.png: b.pngb.png" in shown


def test_a_page_without_pictures_of_single_images_still_names_what_was_set_aside():
    text = page_of(facts_of(("Mass",), ("a.png",)), shown=False)
    assert "data:image" not in text
    assert "Examples of each finding" not in text
    assert "a.png" in text


@pytest.mark.parametrize("reason", [HOSTILE, "x" * 300])
def test_texts_of_a_foreign_table_are_escaped_and_cut(reason):
    long = "n" * 5000
    text = page_of(facts_of(("Mass",), (HOSTILE, "b.png", long), (reason,)))
    parsed = Page(text)
    assert not parsed.open
    assert "<script>alert" not in text
    assert long[:1000] not in text
    assert HOSTILE in "".join(parsed.text)
