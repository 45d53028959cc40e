"""Every number among the settings has a lower and an upper bound, so that no value can stop or drown the program."""

from __future__ import annotations

from typing import Any

import pytest

from cxr_spark.config import Settings, load_settings
from cxr_spark.errors import ConfigError


def numbers(schema: dict[str, Any], where: str, definitions: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    if "$ref" in schema:
        return numbers(definitions[schema["$ref"].rpartition("/")[2]], where, definitions)
    found = [(where, schema)] if schema.get("type") in ("integer", "number") else []
    for name, inner in schema.get("properties", {}).items():
        found += numbers(inner, f"{where}.{name}", definitions)
    for key in ("anyOf", "prefixItems", "allOf"):
        for inner in schema.get(key, []):
            found += numbers(inner, where, definitions)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += numbers(schema[key], where, definitions)
    return found


def test_every_number_has_both_bounds() -> None:
    schema = Settings.model_json_schema()
    found = numbers(schema, "", schema["$defs"])
    assert len(found) > 30
    unbounded = [
        name
        for name, rules in found
        if not rules.keys() & {"minimum", "exclusiveMinimum"} or not rules.keys() & {"maximum", "exclusiveMaximum"}
    ]
    assert unbounded == []


def settings_of_numbers() -> list[tuple[str, str]]:
    """Returns each setting that is a number or holds numbers, and how YAML writes it with {} in place of a number."""
    schema = Settings.model_json_schema()
    names = sorted({name.removeprefix(".") for name, _ in numbers(schema, "", schema["$defs"])})
    around = {
        "model.freeze": "{{last: {}}}",
        "model.hidden": "[{}]",
        "prepare.sample": "{{A: {}}}",
        "prepare.subset.age": "[0, {}]",
        "train.class_weights": "{{A: {}}}",
        "train.early_stop.targets": "{{val_loss: {}}}",
    }
    return [(name, around.get(name, "{}")) for name in names]


@pytest.mark.parametrize(("setting", "written"), settings_of_numbers())
@pytest.mark.parametrize("value", [str(10**400), str(-(10**30)), ".nan", ".inf", "-.inf", "1e400", "[[]]"])
def test_a_number_beyond_measure_is_one_clear_line(setting: str, written: str, value: str) -> None:
    with pytest.raises(ConfigError) as told:
        load_settings(None, [f"{setting}={written.format(value)}"])
    line = str(told.value)
    assert line.startswith(f"--set: {setting}")
    assert "\n" not in line
    assert len(line) < 700
    assert told.value.exit_status == 2


@pytest.mark.parametrize("setting", ["train.epochs", "train.global_batch", "train.max_restarts", "train.workers"])
def test_a_number_beyond_measure_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting):
        load_settings(None, [f"{setting}={10**30}"])


@pytest.mark.parametrize("hidden", ["[1000000000000]", "[0]", str([1] * 100_000).replace(" ", "")])
def test_hidden_layers_beyond_measure_are_refused(hidden: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.hidden"):
        load_settings(None, [f"model.hidden={hidden}"])
