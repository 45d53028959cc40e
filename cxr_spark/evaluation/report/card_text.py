"""Writes a model card as Markdown. Whatever comes from data is escaped. No Spark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from cxr_spark.evaluation.report.model_card import BLANK, result_in_words

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~-])")
#: The places where a name of the schema is cut into words: "MetricGoal" becomes "Metric goal".
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def card_as_markdown(card: Mapping[str, Any]) -> str:
    """Writes a model card as Markdown.

    Args:
        card: what `model_card.model_card` returned.
    """
    content = card["AppliedModelCard"]
    lines = [
        "# Model card",
        "",
        f"In the shape of the applied model card of the Coalition for Health AI ({card['schema']}), filled from an",
        f"evaluation by cxr_spark. **{BLANK}** marks what only people can say.",
    ]
    for name, part in content.items():
        lines += ["", f"## {_title(name)}", *_part(part, 3)]
    return "\n".join(lines) + "\n"


def _part(part: Any, level: int) -> Iterable[str]:
    if isinstance(part, str):
        return ["", _text(part)]
    lines: list[str] = []
    for name, value in part.items():
        if name == "Results":
            lines += ["", "| Result | Value |", "|---|---|"]
            lines += [f"| {_escaped(row['Label'])} | {result_in_words(row)} |" for row in value["MetricResult"]]
        elif isinstance(value, Mapping) and "Keyword" not in value:
            lines += ["", f"{'#' * level} {_title(name)}", *_part(value, level + 1)]
        else:
            shown = ", ".join(map(_escaped, value["Keyword"])) if isinstance(value, Mapping) else _text(value)
            lines += ["", f"**{_title(name)}.** {shown}"]
    return lines


def _title(name: str) -> str:
    first, *others = _WORD.split(name)
    return " ".join([first, *(word if word.isupper() else word.lower() for word in others)])


def _text(text: str) -> str:
    if text.startswith(BLANK) or f" {BLANK}" in text:
        before, _, what = text.partition(BLANK)
        return f"{_escaped(before)}{' ' if before else ''}**{BLANK}** {_escaped(what)}"
    return _escaped(text)


def _escaped(text: str) -> str:
    """Escapes what Markdown or HTML would take for markup; lines become one."""
    plain = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain)
