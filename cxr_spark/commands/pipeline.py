"""Runs the jobs of a settings file in order, each as an application of its own; finished ones are left alone."""

from __future__ import annotations

import argparse
import logging

from cxr_spark.errors import ConfigError
from cxr_spark.outputs.claim import DONE_NAME
from cxr_spark.recipes.check import PipelineCheck
from cxr_spark.recipes.steps import inherited, run_step, steps
from cxr_spark.runtime.application import Application
from cxr_spark.runtime.session import under_spark_submit
from cxr_spark.storage.store import Store

HELP = "run the jobs of a settings file in order"

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--check", action="store_true", help="check settings and inputs, tell all problems, and stop")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Checks everything, runs the jobs and returns what each one said."""
    if args.config is None:
        raise ConfigError("pipeline needs --config YAML: the settings of all its jobs")
    settings = args.settings
    shared = settings.pipeline.spark.get("all", {})
    hadoop = {key: value for key, value in {**shared, **args.spark_conf}.items() if key.startswith("spark.hadoop.")}
    application = Application("cxr-spark pipeline", None, hadoop)
    plan = steps(settings)
    pending = plan
    if settings.pipeline.out and not args.check and not args.overwrite:
        # A job that has finished checks for itself whether its work is still the one that is asked for.
        pending = [step for step in plan if not Store(application.resolve(step.out)).exists(DONE_NAME)]
    PipelineCheck(settings, pending, application.resolve).run()
    if args.check:
        log.info("settings and inputs are good: %s", ", ".join(step.name for step in plan))
        return {}
    master, conf = inherited(under_spark_submit())
    common = [f"--config={args.config}", *(f"--set={text}" for text in args.set)]
    common += [flag for flag in ("--overwrite", "--debug") if getattr(args, flag[2:])]
    summaries: dict[str, object] = {}
    for step in plan:
        own = {**shared, **settings.pipeline.spark.get(step.name, {})}
        summaries[step.name] = run_step(
            step, application.resolve(step.out), common, args.master or master, {**conf, **own, **args.spark_conf}
        )
    return summaries
