"""Renders the page that lists an explanation's pictures, and filters them by finding, verdict and boxes. No Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from cxr_spark import __version__
from cxr_spark.explanation.sanity import FEWEST, in_words
from cxr_spark.explanation.shown import CALLED_FROM, MAX_LISTED, NOT_KNOWN, VERDICTS, ShownFinding, ShownImage
from cxr_spark.reporting.numbers import words
from cxr_spark.reporting.page import environment
from cxr_spark.reporting.tables import Column, Row, Table

#: The overlaps that the page can be filtered by, beside whether the maximum of the map is in a box.
_IOU_FROM = (0.1, 0.3, 0.5)
_COLUMNS = (
    Column("Finding", "text", "finding"),
    Column("Images with boxes", "count", "images"),
    Column("Boxes", "count", "boxes"),
    Column("Maximum in a box", "percent", "pointing_game"),
    Column("By chance", "percent", "pointing_game_by_chance"),
    Column("Mean IoU", "three", "mean_iou"),
)


def render(
    shown: Sequence[ShownImage],
    localization: Mapping[str, Any],
    facts: Sequence[tuple[str, str]],
    *,
    boxed: bool,
    total: int | None = None,
    sanity: Mapping[str, Any] | None = None,
) -> str:
    """Renders the page. Every value in it is escaped.

    The page needs no network. The pictures are the files beside it, which a browser loads as they come into view.

    Args:
        shown: what the pictures show, of the first `MAX_LISTED` of them.
        localization: the content of localization.json.
        facts: what the page says at its top, names and values.
        boxed: whether boxes were given.
        total: the number of all pictures; None where `shown` has them all.
        sanity: the content of sanity.json; None where maps were not compared with those of random weights.

    Returns:
        The page as HTML.
    """
    made = environment("cxr_spark.explanation", "templates/index.js")
    made.filters |= {"href": lambda name: quote(name, safe="")}
    findings = [found for image in shown for found in image.findings]
    return made.get_template("index.html.j2").render(
        title="Where the model looks",
        image_sources="data: 'self' file:",
        facts=facts,
        images=shown,
        findings=[(name, words(name)) for name in sorted({found.finding for found in findings})],
        verdicts={key: told for key, told in VERDICTS.items() if any(found.verdict == key for found in findings)},
        known=any(found.verdict != NOT_KNOWN for found in findings),
        boxed=boxed,
        place=_place,
        places=_places(),
        table=_table(localization) if boxed else None,
        sanity=sanity,
        sanity_in_words=None if sanity is None else in_words(sanity),
        fewest=FEWEST,
        warnings=localization["warnings"],
        called_from=CALLED_FROM,
        most=MAX_LISTED,
        total=len(shown) if total is None else total,
        footer=f"cxr_spark {__version__}",
    )


def _place(found: ShownFinding) -> str:
    """Returns where the maximum of a map is, as the page filters by it; an empty text where there is no box to see."""
    if found.overlap is None or not found.overlap.visible:
        return ""
    return "in" if found.overlap.hit else "outside"


def _places() -> list[tuple[str, str]]:
    """Returns what the page can be filtered by where there are boxes: each value, and its words."""
    places = [("boxed", "with a box"), ("in", "maximum in a box"), ("outside", "maximum outside of its boxes")]
    return [*places, *((str(least), f"IoU {least} or more") for least in _IOU_FROM)]


def _table(localization: Mapping[str, Any]) -> Table:
    keys = [column.key for column in _COLUMNS[1:]]
    rows = [Row((name, *(numbers[key] for key in keys))) for name, numbers in localization["findings"].items()]
    if len(rows) > 1:
        numbers = localization["all"]
        rows.append(Row(("All maps", *(numbers[key] for key in keys)), whole=True, ruled=True))
    return Table("localization", _COLUMNS, rows)
