"""The page of an explanation: what it lists, what it can be filtered by, and what it makes of hostile names."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from cxr_spark.explanation.localization import BoxOverlap
from cxr_spark.explanation.page import render
from cxr_spark.explanation.sanity import CheckedMaps, summary_of
from cxr_spark.explanation.shown import ShownFinding, ShownImage
from cxr_spark.explanation.summary import localization

HIT = BoxOverlap("Mass", 1, visible=True, evidence=True, hit=True, iou=0.42)
MISS = BoxOverlap("Effusion", 2, visible=True, evidence=True, iou=0.01)
OUT = BoxOverlap("Mass", 1)
IMAGES = [
    ShownImage("a.png", "a.png", (ShownFinding("Mass", 0.913, True, True, HIT),)),
    ShownImage(
        "p/b.jpg",
        "p_b.jpg~12.png",
        (ShownFinding("Mass", 0.7, True, False), ShownFinding("Effusion", 0.2, False, True, MISS)),
    ),
    ShownImage("c?.png", "c?.png", (ShownFinding("Pleural_Thickening", 0.1, False, False),)),
    ShownImage("d.png", "d.png", (ShownFinding("Mass", 0.1, False, None, OUT),)),
]


class Elements(HTMLParser):
    """Collects the start tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def page(images=IMAGES, boxed: bool = True) -> str:
    overlaps = [found.overlap for image in images for found in image.findings if found.overlap]
    return render(images, localization(overlaps, None, None, {"warnings": []}), [("Model", "m")], boxed=boxed)


def test_every_map_says_what_it_can_be_filtered_by() -> None:
    lines = [item for item in Elements(page()).of("li") if "data-finding" in item]
    assert [(line["data-finding"], line["data-verdict"], line["data-place"], line["data-iou"]) for line in lines] == [
        ("Mass", "found", "in", "0.42"),
        ("Mass", "false_alarm", "", ""),
        ("Effusion", "missed", "outside", "0.01"),
        ("Pleural_Thickening", "not_called", "", ""),
        ("Mass", "not_known", "", "0.0"),
    ]


def test_pictures_are_the_files_beside_the_page_and_nothing_else_is_loaded() -> None:
    elements = Elements(page())
    assert [unquote(image["src"] or "") for image in elements.of("img")] == [image.picture for image in IMAGES]
    assert [unquote(link["href"] or "") for link in elements.of("a")] == [image.picture for image in IMAGES]
    assert "://" not in page()


def test_numbers_and_words_of_a_map() -> None:
    text = " ".join(page().replace("\N{NO-BREAK SPACE}", " ").split())
    assert "<b>Mass</b> 91.3 % <span>labelled and called; maximum in the box, IoU 0.42</span>" in text
    assert "labelled, not called; maximum outside of 2 boxes, IoU 0.01" in text
    assert "label not known; the box outside of the prepared square" in text


@pytest.mark.parametrize(("boxed", "labelled"), [(True, True), (False, True), (False, False)])
def test_only_filters_that_tell_something_are_there(boxed: bool, labelled: bool) -> None:
    images = [ShownImage("a", "a.png", (ShownFinding("Mass", 0.5, True, True if labelled else None),))]
    names = [each["name"] for each in Elements(page(images, boxed)).of("select")]
    assert names == ["finding", *(["verdict"] if labelled else []), *(["place"] if boxed else [])]


def test_the_correlation_of_each_depth_is_told_and_drawn() -> None:
    blocks = (("fc", 0.02), ("layer4", 0.5), ("conv1", 1.0))
    checked = CheckedMaps(("a", "b"), ("Mass",) * 2, (7, 7), blocks, ((0.5, -0.1), (None, None), (0.9, 0.7)))
    summary = summary_of(checked, {})
    text = render(IMAGES, localization([], None, None, {"warnings": []}), [], boxed=False, sanity=summary)
    rows = [row for row in text.split("<tr>") if 'scope="row"' in row]
    assert [row.split('scope="row">')[1].split("<")[0] for row in rows] == ["fc", "layer4", "conv1"]
    assert [row.split("</td>")[2].removeprefix("<td>") for row in rows] == ["0.300", "none", "0.800"]
    assert [item["width"] for item in Elements(text).of("rect")] == ["30.00", "80.00"]
    assert "the correlation is 0.80" in text
    assert "Do the maps" not in page()
