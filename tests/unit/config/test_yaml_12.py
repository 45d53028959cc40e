"""Settings files as YAML 1.2: words, odd texts, hostile and endless files."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_spark.config import load_settings
from cxr_spark.config.yaml_12 import parse_yaml
from cxr_spark.errors import ConfigError
from tests.support.settings_files import loaded

#: Texts but those such as 0E0 and 0o7: PyYAML, which knows YAML 1.1, writes them without quotes, and in YAML 1.2 they
#: are numbers.
TEXTS = st.text().filter(
    lambda text: re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+|0o[0-7]+", text) is None
)


@settings(deadline=None, max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=12,
    )
)
def test_what_a_yaml_writer_writes_is_read_back(value: Any) -> None:
    assert parse_yaml(yaml.safe_dump(value)) == value


@settings(deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!<>?|'\"#%@ \n\t1.,", max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    told = ""
    try:
        parse_yaml(text)
    except ValueError as error:
        told = str(error)
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train: {epochs: 1}\ntrain: {epochs: 2}", "line 2, column 1: 'train' stands twice"),
        ("train:\n  epochs: 1\n  epochs: 2", "line 3, column 3: 'epochs' stands twice"),
        ("!!python/object/apply:os.system [touch /tmp/owned]", "python/object/apply:os.system"),
        ("x: !!python/name:os.system", "python/name:os.system"),
        ("x: !!binary aGk=", "binary"),
        ("x: !!timestamp never", "timestamp"),
        ("x: !!int many", "'int'"),
        ("a: &a [*a]", "alias stands within what it stands for"),
        ("<<: &x {<<: *x}", "alias stands within what it stands for"),
        ("? [a]\n: 1", "unhashable key"),
        ("--- 1\n--- 2", "another document"),
        ("a: b: c", "mapping values are not allowed here"),
        ("a:\n\t- 1", "found character"),
        ("a: \0", "#x0000"),
        (b"\xff\xfea\x00", "is not text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not text"),
        ("- train", "expected groups such as `train:`, found a list"),
        ("just words", "found a str"),
        ("x: " + "9" * 5000, "Exceeds the limit"),
        ("[" * 50_000, "nested too deeply"),
        ("x: 1 #" + "#" * 10_000_000, "expected a YAML settings file, a page of text"),
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    message = str(caught.value)
    assert told in message
    assert "settings.yaml" in message
    assert "\n" not in message
    assert len(message) < 500


def bomb(inner: str, outer: str, depth: int) -> str:
    lines = [f"a0: &a0 {inner}"]
    lines += [f"a{i}: &a{i} " + outer.replace("@", f"*a{i - 1}") for i in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb("[x, x, x, x]", "[@, @, @, @, @, @, @, @, @]", 20),
        bomb("{x: 1}", "{<<: [@, @]}", 60),
        "train: {augmentations: [" + "&a {crop: {size: 1}}, " + "*a, " * 15_000 + "]}",
    ],
    ids=["lists", "merges", "long"],
)
def test_bombs_of_aliases_are_refused_at_once(tmp_path: Path, text: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=r"bytes|values"):
        loaded(tmp_path, text)
    assert time.monotonic() - begun < 10


def test_endless_files_are_not_read_to_their_end() -> None:
    with pytest.raises(ConfigError, match=r"more than .* bytes"):
        load_settings("/dev/zero")
