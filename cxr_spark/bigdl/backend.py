"""BigDL as a training backend (`cxr_spark.training.backend.Backend`)."""

from __future__ import annotations

from collections.abc import Mapping

from cxr_spark.bigdl.engine.session import local_master, session_settings
from cxr_spark.bigdl.launch import launch
from cxr_spark.bigdl.limits import check_settings
from cxr_spark.config import Settings
from cxr_spark.runtime.session import under_spark_submit

__all__ = ["check_settings", "launch", "session"]


def session(settings: Settings, master: str | None, conf: Mapping[str, str]) -> tuple[str | None, Mapping[str, str]]:
    """Adds BigDL's jars and engine, where the session is started by this process and not by spark-submit.

    Raises:
        UsageError: BigDL is not installed.
    """
    if under_spark_submit():
        return master, conf
    return local_master(master), session_settings(settings.train.bigdl_engine, conf)
