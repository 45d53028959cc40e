"""The interface of a training backend. The driver is given one, and does not know which it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from cxr_spark.config import Settings
from cxr_spark.training.specification import TrainingSpec

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Backend(Protocol):
    """Runs a training that `training.start` has begun: with torch's ranks, or with BigDL on Spark's executors."""

    def check_settings(self, settings: Settings) -> None:
        """Checks the sections `model` and `train` before anything starts.

        Raises:
            ConfigError: a setting asks for what the backend cannot do.
        """

    def session(
        self, settings: Settings, master: str | None, conf: Mapping[str, str]
    ) -> tuple[str | None, Mapping[str, str]]:
        """Returns the Spark master and the Spark settings with which the backend can train.

        Args:
            settings: the settings of the training.
            master: the Spark master that the user asked for; None for the default.
            conf: the Spark settings that the user asked for.

        Raises:
            UsageError: the backend is not installed.
        """

    def launch(self, spark: SparkSession, spec: TrainingSpec) -> None:
        """Runs a training to its end, and starts it again from its last checkpoint when it fails.

        Raises:
            CxrError: the training failed for good.
        """
