"""Reads YAML that may come from anybody: words mean what YAML 1.2 says, no code runs, aliases cannot fill memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import yaml

#: Values in a whole file with every alias written out: far above any settings file, far below a bomb of aliases.
_MAX_VALUES = 20_000

_MAX_DEPTH = 50
_TAG = "tag:yaml.org,2002:"


def parse_yaml(text: str) -> Any:
    """Reads YAML.

    Words are numbers, true, false and null as in YAML 1.2: `1e-4` is a number; `no`, `12:30` and `2024-01-01` are text.

    Raises:
        ValueError: it is not YAML, has a key twice, a tag of Python's, or aliases that grow beyond measure. The
            message is one line.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {}, set())
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(where + " ".join(str(error.problem).split())) from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice: the second would win, silently."""

    # PyYAML reads these tables from the class. Only those of JSON's kinds of values are there.
    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag in (f"{_TAG}map", f"{_TAG}seq", f"{_TAG}str")
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.composer.ComposerError(None, None, f"{key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return node


def _scalar(kind: str, pattern: str, first: str, convert: Callable[[str], Any]) -> None:
    """Lets unquoted words that match a pattern be values of a kind.

    Args:
        kind: the last part of the tag, such as `int`.
        pattern: the regular expression of the whole word.
        first: the characters that such a word can begin with.
        convert: a function from the word, in lower case and without underscores, to the value.
    """
    whole = re.compile(rf"^(?:{pattern})$")

    def construct(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
        if not isinstance(node, yaml.ScalarNode) or not whole.match(node.value):
            raise yaml.constructor.ConstructorError(None, None, f"not a value of the kind {kind!r}", node.start_mark)
        return convert(node.value.replace("_", "").lower())

    _Loader.add_implicit_resolver(_TAG + kind, whole, [*first, ""] if kind == "null" else list(first))
    _Loader.add_constructor(_TAG + kind, construct)


_scalar("bool", "true|True|TRUE|false|False|FALSE", "tTfF", lambda text: text == "true")
_scalar("null", "~|null|Null|NULL|", "~nN", lambda text: None)
_scalar(
    "int",
    "[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+",
    "-+0123456789",
    lambda text: int(text, 16 if text.startswith("0x") else 10),
)
_scalar(
    "float",
    r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "-+.0123456789",
    lambda text: float(text.replace(".", "") if text.endswith(("inf", "nan")) else text),
)
_Loader.add_implicit_resolver(f"{_TAG}merge", re.compile("^<<$"), ["<"])


def _measure(node: yaml.Node, sizes: dict[int, int], above: set[int]) -> int:
    """Returns how many values a node holds when every alias is replaced by what it refers to.

    Raises:
        ValueError: too many; or it holds itself.
    """
    if id(node) in sizes:
        return sizes[id(node)]
    if id(node) in above:
        raise ValueError("an alias stands within what it stands for")
    above.add(id(node))
    size = 1
    if isinstance(node, yaml.MappingNode):
        size += sum(_measure(part, sizes, above) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_measure(part, sizes, above) for part in node.value)
    if size > _MAX_VALUES:
        raise ValueError(f"it has more than {_MAX_VALUES:,} values, aliases written out")
    above.discard(id(node))
    sizes[id(node)] = size
    return size
