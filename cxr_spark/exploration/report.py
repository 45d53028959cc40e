"""Renders the page that shows an exploration: one HTML file that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cxr_spark.exploration.distributions import NOT_KNOWN
from cxr_spark.exploration.pictures import Pictures
from cxr_spark.imaging.rejected import REASONS
from cxr_spark.reporting.numbers import count, percent, words
from cxr_spark.reporting.page import environment
from cxr_spark.reporting.vector import themed


def render(
    facts: Mapping[str, Any],
    svgs: Mapping[str, bytes],
    means: Mapping[str, bytes],
    created: str,
    shown: Pictures | None = None,
) -> str:
    """Renders the page. Every value in it is escaped.

    Args:
        facts: the content of explore.json.
        svgs: the plots as SVG files, by name.
        means: the mean image of each split as PNG.
        created: the time of the exploration, for the reader.
        shown: the pictures of single images; None for a page without.

    Returns:
        The page as HTML.
    """
    made = environment("cxr_spark.exploration")
    made.filters |= {"shape": _shape, "number": _number, "shifted": _shifted}
    return made.get_template("explore.html.j2").render(
        title="Chest X-ray data" + (" (synthetic images)" if facts["synthetic"] else ""),
        facts=_head(facts, created),
        explored=facts,
        any_pair=_any_pair(facts["co_occurrence"]["images"]),
        anyone=any(map(_anyone, facts["splits"].values())),
        one_shape=_one_shape(facts["image_shapes"]["all"]),
        views=[view for view in facts["findings_by_view"] if view != NOT_KNOWN],
        plots={name: themed(svg) for name, svg in svgs.items()},
        shown=shown,
        meanings=REASONS,
        means={name: base64.b64encode(png).decode() for name, png in means.items()},
        warnings=list(_warnings(facts)),
        footer=", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
    )


def _head(facts: Mapping[str, Any], created: str) -> list[tuple[str, str]]:
    patients = facts["n_patients"]
    return [
        ("Data", facts["data"]),
        ("Images", ", ".join(f"{name} {count(split['images'])}" for name, split in facts["splits"].items())),
        ("Patients", "not known" if patients is None else count(patients)),
        ("Near-duplicates across splits", _duplicates(facts.get("near_duplicates"))),
        ("Stored as", f"{facts['size']} x {facts['size']} pixels, grey"),
        ("Made", created),
    ]


def _warnings(facts: Mapping[str, Any]) -> Iterable[str]:
    """Says what a reader should know before training on the data."""
    if facts["synthetic"]:
        yield "The images are synthetic: they say nothing about real X-rays."
    patients = [split["patients"] for split in facts["splits"].values()]
    if None not in patients and facts["n_patients"] is not None and sum(patients) > facts["n_patients"]:
        yield f"{count(sum(patients) - facts['n_patients'])} patients are in more than one split."
    found = facts["duplicates"]
    if found["across_splits"]:
        yield f"Images with the same pixels lie in more than one split: {count(found['across_splits'])} times."
    aside = facts["set_aside"]
    if aside["in_manifest"] not in (None, aside["images"]):
        yield (
            f"prepare set {count(aside['in_manifest'])} images aside, and the table of them names "
            f"{count(aside['images'])}: files of the quarantine were deleted or changed."
        )
    shifted = [f"{words(row['name'])} ({row['split']} and {row['other']})" for row in facts["shifts"]]
    if shifted:
        yield f"The splits differ in {', '.join(shifted)}: numbers of one split are not those of another."


def _one_shape(shape: Mapping[str, Any]) -> bool:
    """Whether all images have one shape."""
    return bool(shape["smallest"] == shape["largest"])


def _duplicates(found: Mapping[str, int] | None) -> str:
    return "not looked for" if found is None else f"{count(found['images'])} images in {count(found['pairs'])} pairs"


def _any_pair(images: Sequence[Sequence[int]]) -> bool:
    """Whether any two findings occur in one image."""
    return any(n for row, counts in enumerate(images) for column, n in enumerate(counts) if row != column)


def _anyone(split: Mapping[str, Any]) -> bool:
    """Whether sex, view position, patient or age of any image of a split is known."""
    known = {*split["sex"], *split["view_position"]} - {NOT_KNOWN}
    return bool(known) or split["patients"] is not None or split["ages"]["known"] > 0


def _shifted(value: float, what: str) -> str:
    """Writes a number of a shift: years of an age, else a share."""
    return f"{value:.1f} years" if what == "age" else percent(value)


def _shape(shape: Sequence[float] | None) -> str:
    return "none" if shape is None else f"{shape[0]:,.0f} x {shape[1]:,.0f}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:,.1f}"
