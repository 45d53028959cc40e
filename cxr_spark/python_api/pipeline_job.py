"""The job that runs the other jobs in order, as a function.

Arguments, settings and errors follow the rules of `cxr_spark.python_api`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cxr_spark.config import Settings
from cxr_spark.errors import ConfigError
from cxr_spark.python_api.settings import Group, dotted
from cxr_spark.runtime.requirements import check_torch

if TYPE_CHECKING:
    from cxr_spark.recipes.job import PipelineResult


def pipeline(*, config: str, check: bool = False, overwrite: bool = False, **groups: Group) -> PipelineResult:
    """Runs the jobs of a settings file in order, each in a process and a Spark application of its own.

    Args:
        config: URI of the settings file; the jobs read it themselves.
        check: check settings and inputs, tell all problems, and stop.
        overwrite: whether to replace outputs of other runs.
        groups: groups of settings that win over the file, such as `train={"epochs": 3}`.

    Raises:
        UsageError: a setting or an input cannot work.
        DataError: an input is not what it should be.
        ChildJobError: a job failed; it has told why on standard error.
    """
    check_torch("cxr_spark.pipeline")
    from cxr_spark.recipes.job import run_pipeline

    return run_pipeline(config, _overrides(groups), check=check, overwrite=overwrite)


def _overrides(groups: Mapping[str, Group]) -> list[str]:
    """Returns groups of settings as texts `section.name=value`, as the jobs of a pipeline read them."""
    for name in groups:
        if name not in Settings.model_fields:
            raise ConfigError(f"{name}=...: expected a group of settings, one of {', '.join(Settings.model_fields)}")
    return [f"{name}={json.dumps(value)}" for name, value in dotted(groups)]
