"""Options that are made from settings."""

from __future__ import annotations

import argparse
import importlib

import pytest

from cxr_spark.commands.options import add_settings
from cxr_spark.config import Settings

MIRRORED = {"prepare": "prepare", "train": "train", "score": "score", "evaluate": "evaluate", "explain": "explain"}


@pytest.mark.parametrize(("command", "section"), MIRRORED.items())
def test_options_say_what_the_schema_says(command, section):
    """Type, default and text of an option are those of its setting, so that help and schema cannot differ."""
    module = importlib.import_module(f"cxr_spark.commands.{command}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    actions = {action.dest: action for action in parser._actions}
    schema = Settings.model_json_schema()["$defs"][f"{section.capitalize()}Settings"]["properties"]
    for name in module.SETTINGS:
        told = (actions[name].help or "").replace("%%", "%")
        assert told.startswith(schema[name]["description"]), name
        default = schema[name].get("default")
        if default not in (None, []) and "default" not in schema[name]["description"]:
            assert f"(default: {default:g})" if isinstance(default, float) else f"(default: {default})" in told, name
        for word in schema[name].get("enum", []):
            assert word in (actions[name].metavar or ""), name


def test_values_are_handed_on_as_they_were_given():
    parser = argparse.ArgumentParser()
    add_settings(parser, "prepare", ["images", "size"])
    given = parser.parse_args(["--images", "a", "--images", "b", "--size", "64"])
    assert (given.images, given.size) == (["a", "b"], "64")
    assert Settings().updated({"prepare.images": given.images, "prepare.size": given.size}).prepare.size == 64
