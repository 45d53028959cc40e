"""Renders the page that shows an exploration: one HTML file that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from cxr_spark.exploration.distributions import NOT_KNOWN
from cxr_spark.reporting.numbers import count
from cxr_spark.reporting.page import environment, shown_width


def render(facts: Mapping[str, Any], pngs: Mapping[str, bytes], created: str) -> str:
    """Renders the page. Every value in it is escaped.

    Args:
        facts: the content of explore.json.
        pngs: the plots as PNG files, by name.
        created: the time of the exploration, for the reader.

    Returns:
        The page as HTML.
    """
    made = environment("cxr_spark.exploration")
    made.filters |= {"shape": _shape, "number": _number}
    return made.get_template("explore.html.j2").render(
        title="Chest X-ray data" + (" (synthetic images)" if facts["synthetic"] else ""),
        facts=_head(facts, created),
        explored=facts,
        any_pair=_any_pair(facts["co_occurrence"]["images"]),
        anyone=any(map(_anyone, facts["splits"].values())),
        pair_width=shown_width(pngs["co_occurrence"]),
        pngs={name: base64.b64encode(png).decode() for name, png in pngs.items()},
        footer=", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
    )


def _head(facts: Mapping[str, Any], created: str) -> list[tuple[str, str]]:
    patients = facts["n_patients"]
    return [
        ("Data", facts["data"]),
        ("Images", ", ".join(f"{name} {count(split['images'])}" for name, split in facts["splits"].items())),
        ("Patients", "not known" if patients is None else count(patients)),
        ("Stored as", f"{facts['size']} x {facts['size']} pixels, grey"),
        ("Made", created),
    ]


def _any_pair(images: Sequence[Sequence[int]]) -> bool:
    """Whether any two findings occur in one image."""
    return any(n for row, counts in enumerate(images) for column, n in enumerate(counts) if row != column)


def _anyone(split: Mapping[str, Any]) -> bool:
    """Whether sex, view position, patient or age of any image of a split is known."""
    known = {*split["sex"], *split["view_position"]} - {NOT_KNOWN}
    return bool(known) or split["patients"] is not None or split["ages"]["known"] > 0


def _shape(shape: Sequence[float] | None) -> str:
    return "none" if shape is None else f"{shape[0]:,.0f} x {shape[1]:,.0f}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:,.1f}"
