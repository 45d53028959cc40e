"""Shows every setting with its type, default and meaning (`--schema`), or the values in force (`--show`)."""

from __future__ import annotations

import argparse
import json
import sys

import yaml

from cxr_spark.config import Settings
from cxr_spark.storage.uris import without_credentials


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--schema", action="store_true", help="every setting, as JSON schema: type, default, range, meaning"
    )
    group.add_argument("--show", action="store_true", help="the values in force with --config and --set, as YAML")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Prints the schema or the values."""
    if args.schema:
        sys.stdout.write(json.dumps(Settings.model_json_schema(), indent=2) + "\n")
    else:
        tree = args.settings.model_dump(mode="json")
        if tree["train"]["mlflow"]["uri"]:
            tree["train"]["mlflow"]["uri"] = without_credentials(tree["train"]["mlflow"]["uri"])
        sys.stdout.write(yaml.safe_dump(tree, sort_keys=False))
    return {}
