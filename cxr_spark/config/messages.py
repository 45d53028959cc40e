"""Describes wrong settings in one line each: the dotted name, the value, and what was expected."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from cxr_spark.storage.uris import without_credentials

_MOST_PROBLEMS = 8
#: The words that replace those of pydantic about Python, for people who write YAML.
_PLAIN = {"Input should be": "expected", "a valid tuple": "a list", "a valid string": "a text"}


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """Returns all problems of a validation, each setting once.

    Args:
        error: the error that pydantic raised.
        model: the model that the value was checked by.
    """
    told: dict[str, str] = {}
    for problem in error.errors(include_url=False):
        name = _name(problem["loc"], model)
        told.setdefault(name, _message(problem, name, model))
    messages = list(told.values())
    more = len(messages) - _MOST_PROBLEMS
    return (
        "; ".join(messages[:_MOST_PROBLEMS])
        + (f"; and {more} more problems" if more > 0 else "")
        + " (`cxr-spark config --schema` tells of every setting)"
    )


def _message(problem: Any, name: str, model: type[BaseModel]) -> str:
    if problem["type"] == "extra_forbidden":
        return f"unknown setting {name!r}: {_hint(name, model)}"
    text = problem["msg"].removeprefix("Value error, ")
    if not name:
        return str(text)
    for technical, plain in _PLAIN.items():
        text = text.replace(technical, plain)
    if problem["type"] in ("model_type", "dict_type"):
        text = "expected a group of settings"
    meaning = _meaning(name, model)
    return f"{name}={_short(problem['input'])}: {text[0].lower()}{text[1:]}{f' ({meaning})' if meaning else ''}"


def _name(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """Returns the dotted name of the setting; what follows in pydantic's own path are branches of its type."""
    parts = []
    group: type[BaseModel] | None = model
    for part in loc:
        if group is None:
            break
        parts.append(str(part))
        group = _group(group, str(part))
    return ".".join(parts)


def _hint(name: str, model: type[BaseModel]) -> str:
    *path, last = name.split(".")
    group = _group_at(path, model)
    siblings = list(group.model_fields) if group else []
    near = difflib.get_close_matches(last, siblings, n=1)
    if near:
        return f"did you mean {'.'.join([*path, near[0]])!r}?"
    everywhere = {full.rpartition(".")[2]: full for full in _all_names(model)}
    near = difflib.get_close_matches(last, everywhere, n=1, cutoff=0.8)
    return f"did you mean {everywhere[near[0]]!r}?" if near else f"known here: {', '.join(siblings)}"


def _meaning(name: str, model: type[BaseModel]) -> str:
    *path, last = name.split(".")
    group = _group_at(path, model)
    field = group.model_fields.get(last) if group else None
    return (field.description if field else None) or ""


def _all_names(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name in model.model_fields:
        yield above + name
        group = _group(model, name)
        if group is not None:
            yield from _all_names(group, f"{above}{name}.")


def _group_at(path: Iterable[str], model: type[BaseModel]) -> type[BaseModel] | None:
    group: type[BaseModel] | None = model
    for part in path:
        group = _group(group, part) if group else None
    return group


def _group(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = model.model_fields.get(name)
    annotation = field.annotation if field else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _short(value: Any) -> str:
    text = without_credentials(reprlib.repr(without_credentials(value) if isinstance(value, str) else value))
    return text if len(text) <= 80 else text[:77] + "..."
