"""A whole training on the driver: locked, planned, launched, finished. The train job and Spark ML's `fit` share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxr_spark.bigdl import launch as in_bigdl
from cxr_spark.bigdl import limits
from cxr_spark.config import Settings
from cxr_spark.output import claim
from cxr_spark.prepared import PreparedDataset
from cxr_spark.scoring.spark_model import ChestXRayModel
from cxr_spark.spark import default_fs
from cxr_spark.storage import Store
from cxr_spark.training import launch as ranks
from cxr_spark.training.cluster import check_cluster, rank_threads
from cxr_spark.training.finish import MODEL, finish
from cxr_spark.training.job import TrainingJob
from cxr_spark.training.plan import fingerprint, plan

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def train(
    spark: SparkSession, settings: Settings, dataset: PreparedDataset, run: Store, *, overwrite: bool
) -> dict[str, Any]:
    """Trains to the end, or goes on where a run that was stopped left off.

    Args:
        spark: the session.
        settings: the sections `model` and `train` are used.
        dataset: what to train on.
        run: folder of the run.
        overwrite: start anew whatever is there.

    Returns:
        The model's URI, its id, and what it reached on the validation images.

    Raises:
        CxrError: settings or data that cannot work, or a training that failed.
    """
    if settings.train.backend == "bigdl":
        limits.check_settings(settings)
    check_cluster(spark, settings.train)
    with claim(run, "train", fingerprint(settings, dataset), overwrite) as claimed:
        if claimed.finished is not None:
            return claimed.finished
        job = plan(
            settings,
            dataset,
            run.uri,
            threads=rank_threads(spark, settings.train),
            lock_token=claimed.lock.token,
            default_fs=default_fs(spark),
        )
        _launch(spark, job)
        metadata = finish(job, str(dataset.manifest.get("resize", "squash")))
        model = run.uri_of(MODEL)
        ChestXRayModel(model).save_params(spark)
        summary = {"model": model, "model_id": metadata.model_id, **metadata.metrics}
        claimed.done(summary)
    return summary


def _launch(spark: SparkSession, job: TrainingJob) -> None:
    if job.train.backend == "bigdl":
        in_bigdl.launch(spark, job)
    else:
        ranks.launch(spark, job)
