"""Settings from Python: a settings file, then groups of settings as dicts, as a function of the API was given them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cxr_spark.config import Section, Settings, is_section, load_settings
from cxr_spark.errors import ConfigError

#: A group of settings as a dict: names to values; groups within it are dicts, too.
Group = Mapping[str, Any]
#: One path, or several.
Paths = str | Sequence[str]


def settings_of(config: str | None, groups: Mapping[str, Group | None]) -> Settings:
    """Returns the settings of a call.

    Args:
        config: URI of a YAML settings file; None for the defaults.
        groups: the name of each group, such as `train`, to the settings that replace those of the file.

    Raises:
        ConfigError: the file or a setting is wrong; the message tells which, and what was expected.
    """
    settings = load_settings(config)
    for name, group in groups.items():
        if group is not None and not isinstance(group, Mapping):
            raise ConfigError(f"{name}={group!r}: expected a dict of settings, such as {{'seed': 1}}")
    changes = dict(dotted(groups))
    return settings.updated(changes) if changes else settings


def dotted(groups: Mapping[str, Group | None]) -> Iterator[tuple[str, Any]]:
    """Yields the dotted name and the value of every setting in some groups."""
    for name, group in groups.items():
        if group is not None:
            yield from _below(name, group, Settings.model_fields[name].annotation)


def _below(above: str, group: Group, section: Any) -> Iterator[tuple[str, Any]]:
    assert issubclass(section, Section)
    for name, value in group.items():
        field = section.model_fields.get(name)
        if field is not None and is_section(field.annotation) and isinstance(value, Mapping):
            yield from _below(f"{above}.{name}", value, field.annotation)
        else:
            yield f"{above}.{name}", value


def several(paths: Paths | None) -> Any:
    """Returns one path or several as settings take them: a list, or None where none was given."""
    return [paths] if isinstance(paths, str) else None if paths is None else list(paths)
