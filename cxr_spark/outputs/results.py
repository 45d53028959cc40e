"""What a job returns: where its output is and what it measured, as a value that also shows itself in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from cxr_spark.storage.json_values import as_json


class JobResult(BaseModel):
    """Base of the results of all jobs.

    A job's summary, as the command line prints it and `_done.json` holds it, is its result as JSON. Numbers that only
    some runs have, such as the AUC of each split, are attributes of the same names, too.

    Attributes:
        out: full URI of the output folder.
    """

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    out: str

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON value."""
        summary: dict[str, Any] = as_json(self.model_dump(mode="python", exclude_unset=True))
        return summary

    def _repr_html_(self) -> str:
        """Returns the table that a notebook shows."""
        return table(type(self).__name__, self.summary())


def table(caption: str, tree: Mapping[str, Any]) -> str:
    """Returns an HTML table of the names and values of a tree of JSON values."""
    rows = "".join(
        f"<tr><th style='text-align: left'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in _rows(tree)
    )
    return f"<table><caption>{html.escape(caption)}</caption>{rows}</table>"


def _rows(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yields the name and the text of every value; the names of nested values are joined by dots."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _rows(value, f"{above}{name}.")
        elif isinstance(value, list):
            yield above + name, ", ".join(map(_text, value))
        else:
            yield above + name, _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "not defined"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
