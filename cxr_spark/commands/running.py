"""Runs a command whose line is parsed: its settings, the check of what it needs, its job or function."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from cxr_spark.commands.requirements import check_requirements
from cxr_spark.config import load_settings
from cxr_spark.outputs.job import Execution, Job
from cxr_spark.outputs.results import JobResult
from cxr_spark.outputs.run_job import run_job
from cxr_spark.outputs.run_status import leave_status, tell, uri_without_spark
from cxr_spark.runtime.user import check_user


def summary_of(args: argparse.Namespace) -> Mapping[str, object]:
    """Runs a parsed command, and returns what it prints at its end.

    Commands that are jobs have a function `job`, which turns options into a job; others have a function `run`. A job
    writes its status itself, once it runs. What fails before that is written here, so that a scheduler sees it, too.
    """
    started = time.monotonic()
    try:
        check_requirements(args)
        read_settings(args)
        check_user()
        job: Job[JobResult] | None = args.module.job(args) if hasattr(args.module, "job") else None
    except (Exception, KeyboardInterrupt) as error:
        if hasattr(args.module, "job"):
            status, message = tell(error)
            uri = uri_without_spark(args.out, args.spark_conf)
            leave_status(uri, args.command, status, time.monotonic() - started, {}, message)
        raise
    if job is None:
        printed: Mapping[str, object] = args.module.run(args)
        return printed
    result: JobResult = run_job(job, execution_of(args))
    return result.summary()


def execution_of(args: argparse.Namespace) -> Execution:
    """Returns where and how to run a job, as the options of every command say."""
    return Execution(args.master, args.spark_conf, args.overwrite, args.config)


def read_settings(args: argparse.Namespace) -> None:
    """Reads and checks the settings that a command line names.

    Raises:
        ConfigError: one of them is wrong.
    """
    args.settings = load_settings(args.config, args.set)
