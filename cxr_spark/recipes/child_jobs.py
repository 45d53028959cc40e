"""The jobs of a settings file in order, each as an application of its own.

Barrier mode and task sizes suit the training only, and a job that fails takes nothing of the others with it; so each
runs in a process and a Spark application of its own. A job whose finished output is there says so and is left alone.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_spark.config import Settings
from cxr_spark.errors import CxrError, RunError
from cxr_spark.outputs.claim import DONE_NAME
from cxr_spark.outputs.done import read_done
from cxr_spark.runtime.processes import run_child
from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)

#: What spark-submit leaves in the environment of the process that it starts; a job of its own must not find it.
_SUBMITTED = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "PYSPARK_SUBMIT_ARGS", "_PYSPARK_DRIVER_CONN_INFO_PATH")
#: Spark settings that belong to the application that has them.
_OF_ONE_APPLICATION = ("spark.app.", "spark.driver.host", "spark.driver.port", "spark.submit.", "spark.master")


class ChildJobError(CxrError):
    """A job of the pipeline failed. It has told why itself, on standard error."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


@dataclass(frozen=True)
class ChildJob:
    """One job of the pipeline, which runs in a child process.

    Attributes:
        name: the name of the command.
        out: its output folder, as the user wrote it, or a folder below the pipeline's own.
        options: its options, without those of the pipeline itself.
    """

    name: str
    out: str
    options: tuple[str, ...]


def child_jobs(settings: Settings) -> list[ChildJob]:
    """Returns the jobs with their inputs and outputs below `pipeline.out`, which must be set."""
    root = (settings.pipeline.out or "").rstrip("/")
    prepared, run, scores = (f"{root}/{name}" for name in ("prepared", "run", "scores"))
    data, model = ("--data", prepared), ("--model", f"{run}/model")
    # The report shows images of the data that the pipeline made, unless the settings say otherwise.
    shown = data if settings.evaluate.data is None and settings.evaluate.pictures == "show" else ()
    known = {
        "prepare": ChildJob("prepare", prepared, ()),
        "explore": ChildJob("explore", f"{root}/exploration", data),
        "train": ChildJob("train", run, data),
        "score": ChildJob("score", scores, (*data, *model)),
        "evaluate": ChildJob("evaluate", f"{root}/evaluation", ("--predictions", scores, *shown)),
        "explain": ChildJob("explain", f"{root}/explanation", (*data, *model)),
    }
    return [known[name] for name in settings.pipeline.steps]


def run_child_job(
    job: ChildJob, out_uri: str, common: Sequence[str], master: str | None, conf: Mapping[str, str]
) -> dict[str, Any]:
    """Runs one job as `cxr-spark NAME` in a process of its own.

    Args:
        job: the job.
        out_uri: full URI of its output folder.
        common: options of every command.
        master: Spark master.
        conf: Spark settings.

    Returns:
        The job's summary.

    Raises:
        ChildJobError: it failed, with its exit status.
        KeyboardInterrupt: this process was told to end; the job has ended too.
    """
    command = [sys.executable, "-m", "cxr_spark.commands.main", job.name, f"--out={job.out}", *job.options, *common]
    if master:
        command.append(f"--master={master}")
    command += [f"--spark={key}={value}" for key, value in conf.items()]
    log.info("%s: %s", job.name, out_uri)
    started = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if key not in _SUBMITTED}
    status = run_child(command, environment, stdout=sys.__stderr__ or sys.stderr)
    if status:
        told = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise ChildJobError(
            f"{job.name} failed with {told}: mend what it says above and run the pipeline again; what is finished is "
            "left alone",
            status if status in (2, 3) else 4,
        )
    log.info("%s: done in %.1f s", job.name, time.monotonic() - started)
    try:
        return read_done(Store(out_uri)).summary
    except FileNotFoundError:
        raise RunError(f"{job.name} left no {DONE_NAME} in {out_uri}: was it deleted meanwhile?") from None


def inherited(under_submit: bool) -> tuple[str | None, dict[str, str]]:
    """Returns master and settings that spark-submit gave to the pipeline, for its jobs."""
    if not under_submit:
        return None, {}
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()
    conf = SparkConf()
    found = {k: v for k, v in conf.getAll() if k.startswith("spark.") and not k.startswith(_OF_ONE_APPLICATION)}
    return conf.get("spark.master"), found
