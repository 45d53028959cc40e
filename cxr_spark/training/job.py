"""A whole training on the driver: locked, planned, launched, finished. The train job and Spark ML's `fit` share it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cxr_spark.config import Settings
from cxr_spark.outputs.claim import claim
from cxr_spark.runtime.session import default_fs
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.backend import Backend
from cxr_spark.training.driver.cluster import check_cluster, rank_threads
from cxr_spark.training.driver.finish import MODEL, finish
from cxr_spark.training.plan import fingerprint, plan

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def train(
    spark: SparkSession,
    settings: Settings,
    dataset: PreparedDataset,
    run: Store,
    *,
    backend: Backend,
    save_params: Callable[[SparkSession, str], None],
    overwrite: bool,
) -> dict[str, Any]:
    """Trains to the end, or goes on where a run that was stopped left off.

    Args:
        spark: the session.
        settings: the sections `model` and `train` are used.
        dataset: what to train on.
        run: folder of the run.
        backend: what runs the training.
        save_params: writes Spark ML's part of the model folder at a URI; called before the run is marked as done.
        overwrite: start anew whatever is there.

    Returns:
        The model's URI, its id, and what it reached on the validation images.

    Raises:
        CxrError: settings or data that cannot work, or a training that failed.
    """
    backend.check_settings(settings)
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
        backend.launch(spark, job)
        metadata = finish(job, str(dataset.manifest.get("resize", "squash")), dataset.manifest.get("white_level"))
        model = run.uri_of(MODEL)
        save_params(spark, model)
        summary = {"model": model, "model_id": metadata.model_id, **metadata.metrics}
        claimed.done(summary)
    return summary
