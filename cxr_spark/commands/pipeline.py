"""Runs the jobs of a settings file in order, each as an application of its own; finished ones are left alone."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from cxr_spark.errors import ConfigError
from cxr_spark.pipeline import inherited, run_step, steps
from cxr_spark.spark import under_spark_submit
from cxr_spark.storage import resolve

HELP = "run the jobs of a settings file in order"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--check", action="store_true", help="check settings and inputs, then stop")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Checks everything, runs the jobs and returns what each one said."""
    if args.config is None:
        raise ConfigError("pipeline needs --config YAML: the settings of all its jobs")
    settings = args.settings
    plan = steps(settings)
    _check(args)
    if args.check:
        print("the settings are good: " + ", ".join(step.name for step in plan), file=sys.stderr)
        return {}
    master, conf = inherited(under_spark_submit())
    common = ["--config", args.config, *(f"--set={text}" for text in args.set)]
    common += [flag for flag in ("--overwrite", "--debug") if getattr(args, flag[2:])]
    summaries: dict[str, Any] = {}
    for step in plan:
        own = {**settings.pipeline.spark.get("all", {}), **settings.pipeline.spark.get(step.name, {})}
        summaries[step.name] = run_step(step, common, args.master or master, {**conf, **own, **args.spark_conf})
    return summaries


def _check(args: argparse.Namespace) -> None:
    """Checks what only its own job would find, an hour into the pipeline."""
    settings = args.settings
    if "train" in settings.pipeline.steps:
        from cxr_spark.models.architectures import architecture
        from cxr_spark.models.weights import resolve_weights
        from cxr_spark.stages.augmentation import from_config

        architecture(settings.model.architecture)
        from_config(settings.train.augmentations)
        resolve_weights(settings.model.weights, settings.model.architecture)
    if "prepare" in settings.pipeline.steps:
        from cxr_spark.storage import parent_and_name

        for name in ("labels", "train_list", "test_list"):
            value = getattr(settings.prepare, name)
            if value is not None:
                store, file = parent_and_name(resolve(value))
                if not store.exists(file):
                    raise ConfigError(f"prepare.{name} {value!r}: no such file")
