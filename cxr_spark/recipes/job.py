"""The pipeline job: it checks everything, then runs the jobs of a settings file, each as an application of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from cxr_spark.config import load_settings
from cxr_spark.errors import ConfigError
from cxr_spark.outputs.claim import DONE_NAME
from cxr_spark.outputs.results import table
from cxr_spark.recipes.check import PipelineCheck
from cxr_spark.recipes.child_jobs import child_jobs, inherited, run_child_job
from cxr_spark.runtime.application import Application
from cxr_spark.runtime.session import under_spark_submit
from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)


class PipelineResult(BaseModel):
    """The result of a pipeline.

    Attributes:
        summaries: the result of each job that ran, in order, as JSON values; empty if the settings were only checked.
    """

    model_config = ConfigDict(frozen=True)

    summaries: dict[str, dict[str, Any]]

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON value."""
        return dict(self.summaries)

    def _repr_html_(self) -> str:
        """Returns the tables that a notebook shows, one for each job."""
        return "".join(table(name, summary) for name, summary in self.summaries.items())


def run_pipeline(
    config: str | None,
    overrides: Sequence[str] = (),
    *,
    check: bool = False,
    overwrite: bool = False,
    debug: bool = False,
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
) -> PipelineResult:
    """Checks settings and inputs, and runs the jobs.

    Args:
        config: URI of the settings file.
        overrides: settings that win over the file, as `section.name=value`.
        check: stop after the check.
        overwrite: replace outputs of other runs.
        debug: let the jobs show traces and more log lines.
        master: Spark master of all jobs; None for the default of each.
        conf: Spark settings of all jobs.

    Raises:
        CxrError: something is wrong, and the message tells all that is; or a job failed.
    """
    if config is None:
        raise ConfigError("pipeline needs --config YAML: the settings of all its jobs")
    settings = load_settings(config, overrides)
    spark_settings = {str(name): own for name, own in settings.pipeline.spark.items()}
    shared, asked = spark_settings.get("all", {}), dict(conf or {})
    hadoop = {key: value for key, value in {**shared, **asked}.items() if key.startswith("spark.hadoop.")}
    application = Application("cxr-spark pipeline", None, hadoop)
    jobs = child_jobs(settings)
    pending = jobs
    if settings.pipeline.out and not check and not overwrite:
        # A job that has finished checks for itself whether its result is still the one that is asked for.
        pending = [job for job in jobs if not Store(application.resolve(job.out)).exists(DONE_NAME)]
    PipelineCheck(settings, pending, application.resolve, config=config, hadoop=application.hadoop_settings).run()
    if check:
        log.info("settings and inputs are good: %s", ", ".join(job.name for job in jobs))
        return PipelineResult(summaries={})
    submitted_master, submitted = inherited(under_spark_submit())
    common = [f"--config={config}", *(f"--set={text}" for text in overrides)]
    common += [flag for flag, given in (("--overwrite", overwrite), ("--debug", debug)) if given]
    summaries: dict[str, dict[str, Any]] = {}
    for job in jobs:
        own = {**shared, **spark_settings.get(job.name, {})}
        uri = application.resolve(job.out)
        summaries[job.name] = run_child_job(job, uri, common, master or submitted_master, {**submitted, **own, **asked})
    return PipelineResult(summaries=summaries)
