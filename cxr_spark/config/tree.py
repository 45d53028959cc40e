"""Settings as a tree of plain values, before they are checked: read from a file, changed by dotted names."""

from __future__ import annotations

from typing import Any

from cxr_spark.config.yaml_12 import parse_yaml
from cxr_spark.errors import ConfigError, RunError
from cxr_spark.storage.store import read_uri, resolve

#: A settings file is a page of text. A larger one is some other file.
_MAX_YAML_BYTES = 64 << 10


def put(tree: dict[str, Any], name: str, value: Any) -> None:
    """Sets one value of a tree of settings by its dotted name.

    Raises:
        ConfigError: the name leads through a value that is no group.
    """
    parts = name.split(".")
    if parts[:2] == ["pipeline", "spark"] and len(parts) > 3:  # Spark's own names have dots
        parts[3:] = [".".join(parts[3:])]
    *path, last = parts
    here = tree
    for i, part in enumerate(path):
        if here.get(part) is None:
            here[part] = {}
        here = here[part]
        if not isinstance(here, dict):
            raise ConfigError(f"--set {name}: {'.'.join(path[: i + 1])} is a value, not a group of settings")
    here[last] = value


def read_tree(uri: str) -> dict[str, Any]:
    """Reads a settings file, unchecked but for being a group of groups.

    Raises:
        ConfigError: it is missing, cannot be read, or is not such a file.
    """
    try:
        data = read_uri(resolve(uri), limit=_MAX_YAML_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"--config {uri!r}: no such file") from None
    except RunError as error:
        raise ConfigError(f"--config {uri!r}: {error}") from None
    if len(data) > _MAX_YAML_BYTES:
        raise ConfigError(
            f"--config {uri!r} has more than {_MAX_YAML_BYTES:,} bytes: expected a YAML settings file, a page of text"
        )
    try:
        tree = parse_yaml(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"--config {uri!r} is not text: expected a YAML settings file") from None
    except ValueError as error:
        raise ConfigError(f"--config {uri!r} is not YAML of settings: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"--config {uri!r}: expected groups such as `train:`, found a {type(tree).__name__}")
    return tree
