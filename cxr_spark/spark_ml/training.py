"""Trainings with the backend that the settings name, and with Spark ML's part of the model folder."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, cast

from cxr_spark.config import Settings
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training import job
from cxr_spark.training.backend import Backend
from cxr_spark.training.job import TrainingSetup, TrainJob, TrainResult

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def train_job(
    settings: Settings, *, data: str, out: str, backend: str | None = None, workers: int | str | None = None
) -> TrainJob:
    """Returns the train job.

    Args:
        settings: the sections `model` and `train` are used.
        data: output of the prepare job.
        out: folder of the run.
        backend: a backend that replaces `train.backend`; None to keep that setting.
        workers: a number of ranks that replaces `train.workers`; None to keep that setting.

    Raises:
        ConfigError: a setting is out of range.
    """
    settings = settings.updated({"train.backend": backend, "train.workers": workers})
    return TrainJob(settings, data, out, training_setup(settings))


def train(spark: SparkSession, settings: Settings, dataset: PreparedDataset, run: Store) -> TrainResult:
    """Trains with the backend that `train.backend` names; see `cxr_spark.training.job.train`."""
    return job.train(spark, settings, dataset, run, training_setup(settings))


def training_setup(settings: Settings) -> TrainingSetup:
    """Returns what trains with some settings."""
    return TrainingSetup(_backend_of(settings), _save_params)


def _backend_of(settings: Settings) -> Backend:
    """Returns the backend that `train.backend` names; only that one is imported."""
    backend: ModuleType
    if settings.train.backend == "bigdl":
        from cxr_spark.bigdl import backend
    else:
        from cxr_spark.training.driver import backend
    return cast(Backend, backend)


def _save_params(spark: SparkSession, uri: str) -> None:
    from cxr_spark.spark_ml.model import ChestXRayModel

    ChestXRayModel(uri).save_params(spark)
