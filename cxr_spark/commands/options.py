"""Options of commands that are made from settings, so that a setting and its option have one type, default and text."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from cxr_spark.config import Section, Settings
from cxr_spark.config.section import as_list

#: Settings of `prepare` that tell how a label file of one's own is read; options of every command that reads one.
COLUMNS = (
    "image_column", "patient_column", "split_column", "view_column", "sex_column", "age_column", "finding_columns",
    "findings_column", "findings_separator", "patient_pattern",
)  # fmt: skip
_METAVARS = {int: "N", float: "F", str: "TEXT"}


def add_settings(parser: argparse.ArgumentParser, section: str, names: Iterable[str]) -> None:
    """Adds an option for each of some settings.

    The option `--val-fraction` stands for the setting `prepare.val_fraction`. Its value is handed on as the text that
    was given, and the setting's own type checks it. A setting that is a list of URIs makes an option that may be given
    several times.

    Args:
        parser: the parser of the command.
        section: the name of the group of settings.
        names: the names of the settings.
    """
    group = _section(section)
    for name in names:
        field = group.model_fields[name]
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            action="append" if _is_list_of_uris(field) else "store",
            metavar=_metavar(field),
            help=help_text(field),
        )


def help_text(field: FieldInfo) -> str:
    """Returns what `--help` says of a setting: its description, and its default where the description has none."""
    text = (field.description or "").replace("%", "%%")
    if _is_list_of_uris(field):
        text += "; repeatable"
    if field.default in (None, ()) or "default" in text:
        return text
    default = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
    return f"{text} (default: {default})"


def values(args: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """Returns the values of some options by name; None for those that were not given."""
    return {name: getattr(args, name) for name in names}


def _section(name: str) -> type[Section]:
    section = Settings.model_fields[name].annotation
    assert isinstance(section, type)
    assert issubclass(section, Section)
    return section


def _is_list_of_uris(field: FieldInfo) -> bool:
    return any(getattr(part, "func", None) is as_list for part in field.metadata)


def _metavar(field: FieldInfo) -> str:
    """Returns the word that `--help` shows for the value: the words that are allowed, or the kind of value."""
    kinds = _kinds(field.annotation)
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    if words:
        return "|".join(words)
    if _is_list_of_uris(field) or "URI" in (field.description or "").split():
        return "URI"
    if any(get_origin(kind) is tuple for kind in kinds):
        return "A,B"
    return next((_METAVARS[kind] for kind in kinds if kind in _METAVARS), "VALUE")


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Returns the types that a setting may have; those of a union one by one."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
