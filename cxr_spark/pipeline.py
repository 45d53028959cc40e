"""The jobs of a settings file in order, each as an application of its own.

Barrier mode and task sizes suit the training only, and a job that fails takes nothing of the others with it; so each
runs in a process and a Spark application of its own. A job whose finished output is there says so and is left alone.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_spark.config import Settings
from cxr_spark.errors import ConfigError, CxrError
from cxr_spark.output import DONE_NAME
from cxr_spark.storage import Store

log = logging.getLogger(__name__)

#: What spark-submit leaves in the environment of the process that it starts; a job of its own must not find it.
_SUBMITTED = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "PYSPARK_SUBMIT_ARGS", "_PYSPARK_DRIVER_CONN_INFO_PATH")
#: Spark settings that belong to the application that has them.
_OF_ONE_APPLICATION = ("spark.app.", "spark.driver.host", "spark.driver.port", "spark.submit.", "spark.master")


class StepError(CxrError):
    """A job of the pipeline failed; it has said why itself."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


@dataclass(frozen=True)
class Step:
    """One job of the pipeline.

    Attributes:
        name: of the command.
        out: URI of its output folder.
        options: its options, beside those of the pipeline itself.
    """

    name: str
    out: str
    options: tuple[str, ...]


def steps(settings: Settings) -> list[Step]:
    """Returns the jobs with their inputs and outputs below `pipeline.out`.

    Raises:
        ConfigError: no `pipeline.out`, or a setting that a job cannot do without is missing.
    """
    if not settings.pipeline.out:
        raise ConfigError("pipeline.out is not set: expected a folder for the outputs of all jobs")
    if "prepare" in settings.pipeline.steps:
        for name in ("images", "labels"):
            if not getattr(settings.prepare, name):
                raise ConfigError(f"prepare.{name} is not set: the prepare job cannot do without it")
    root = settings.pipeline.out.rstrip("/")
    prepared, run, scores, evaluation = (f"{root}/{name}" for name in ("prepared", "run", "scores", "evaluation"))
    known = {
        "prepare": Step("prepare", prepared, ()),
        "train": Step("train", run, ("--data", prepared)),
        "score": Step("score", scores, ("--data", prepared, "--model", f"{run}/model")),
        "evaluate": Step("evaluate", evaluation, ("--predictions", scores)),
    }
    return [known[name] for name in settings.pipeline.steps]


def run_step(step: Step, common: Sequence[str], master: str | None, conf: Mapping[str, str]) -> dict[str, Any]:
    """Runs one job as `cxr-spark NAME` in a process of its own.

    Args:
        step: the job.
        common: options of every command.
        master: Spark master.
        conf: Spark settings.

    Returns:
        The job's summary.

    Raises:
        StepError: it failed, with its exit status.
    """
    command = [sys.executable, "-m", "cxr_spark.cli", step.name, "--out", step.out, *step.options, *common]
    if master:
        command += ["--master", master]
    for key, value in conf.items():
        command += ["--spark", f"{key}={value}"]
    log.info("%s: %s", step.name, step.out)
    started = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if key not in _SUBMITTED}
    status = subprocess.run(command, stdout=sys.stderr, env=environment, check=False).returncode
    if status:
        # A negative number is the signal that ended the process.
        raise StepError(
            f"{step.name} failed with exit status {status}: mend what it says above and run the pipeline again; "
            "what is finished is left alone",
            status if status in (2, 3) else 4,
        )
    log.info("%s: done in %.1f s", step.name, time.monotonic() - started)
    return dict(Store(step.out).read_json(DONE_NAME).get("summary", {}))


def inherited(under_submit: bool) -> tuple[str | None, dict[str, str]]:
    """Returns master and settings that spark-submit gave to the pipeline, for its jobs."""
    if not under_submit:
        return None, {}
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()
    conf = SparkConf()
    found = {k: v for k, v in conf.getAll() if k.startswith("spark.") and not k.startswith(_OF_ONE_APPLICATION)}
    return conf.get("spark.master"), found
