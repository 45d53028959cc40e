"""A training with the backend that the settings name, and with Spark ML's part of the model folder."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from cxr_spark.config import Settings
from cxr_spark.spark_ml.model import ChestXRayModel
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training import job
from cxr_spark.training.backend import Backend

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def train(
    spark: SparkSession, settings: Settings, dataset: PreparedDataset, run: Store, *, overwrite: bool
) -> dict[str, Any]:
    """Trains with the backend that `train.backend` names; see `cxr_spark.training.job.train`."""
    return job.train(
        spark, settings, dataset, run, backend=backend_of(settings), save_params=_save_params, overwrite=overwrite
    )


def backend_of(settings: Settings) -> Backend:
    """Returns the backend that `train.backend` names; only that one is imported."""
    backend: ModuleType
    if settings.train.backend == "bigdl":
        from cxr_spark.bigdl import backend
    else:
        from cxr_spark.training.driver import backend
    return cast(Backend, backend)


def _save_params(spark: SparkSession, uri: str) -> None:
    ChestXRayModel(uri).save_params(spark)
