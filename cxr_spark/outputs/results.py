"""What a job returns: where its output is and what it measured, as a value that also shows itself in a notebook."""

from __future__ import annotations

import html
import logging
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cxr_spark.errors import UsageError
from cxr_spark.storage.json_values import as_json
from cxr_spark.storage.typed_json import first_problem

log = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound="JobResult")


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


def finished_result(kind: type[Kind], job: str, uri: str, summary: Mapping[str, Any]) -> Kind:
    """Returns the result of work that an earlier run finished, and logs that there is nothing to do.

    Args:
        kind: class of the job's results.
        job: name of the job.
        uri: full URI of the output folder.
        summary: what the mark of finished work holds.

    Returns:
        An object of that class.

    Raises:
        UsageError: the mark of finished work does not hold such a result.
    """
    log.info("%s: finished before, nothing to do: %s", job, uri)
    try:
        return kind.model_validate({**summary, "out": uri})
    except ValidationError as error:
        raise UsageError(
            f"--out {uri} is marked as finished, but its mark does not hold the result of {job} "
            f"({first_problem(error)}): say --overwrite to do the work again"
        ) from None


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
