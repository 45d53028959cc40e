"""The train job: a whole training on the driver, claimed, started, launched and finished.

The job and Spark ML's `fit` share it. Both hand over the backend that trains, since the driver knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from cxr_spark.config import Settings
from cxr_spark.models.initial_weights import uri_of_weights
from cxr_spark.outputs.claim import DONE_NAME, Claim, claim
from cxr_spark.outputs.job import Execution, Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult, finished_result
from cxr_spark.runtime.session import default_fs
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import MAY_SHARE_PATIENTS, PreparedDataset
from cxr_spark.training.backend import Backend
from cxr_spark.training.driver.cluster import check_cluster, rank_threads
from cxr_spark.training.driver.finish import MODEL, finish
from cxr_spark.training.extension import extends
from cxr_spark.training.folds import Fold
from cxr_spark.training.live.following import live_page
from cxr_spark.training.soft_labels import Teacher
from cxr_spark.training.start import fingerprint, start_training
from cxr_spark.training.tracking.description import described
from cxr_spark.training.tracking.following import check_tracking, tracked

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JOB = "train"


class TrainResult(JobResult):
    """The result of the train job.

    Attributes:
        model: full URI of the model folder.
        model_id: SHA-256 of its weights.
        epoch: the epoch whose weights the model has, counted from 1.
        val_loss: loss on the validation images; None where there are none.
        val_macro_auc: mean of the AUCs of all findings on the validation images; None where it is not defined.
        warnings: what puts these numbers into doubt, in words.
    """

    model: str
    model_id: str
    epoch: int | None = None
    val_loss: float | None = None
    val_macro_auc: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingSetup:
    """The backend that trains, and what completes the model folder. Callers above this package choose both.

    Attributes:
        backend: the backend, torch's or BigDL's.
        save_params: writes the files of Spark ML into the model folder at a URI. It is called before the run is marked
            as done.
    """

    backend: Backend
    save_params: Callable[[SparkSession, str], None]


@dataclass(frozen=True)
class TrainJob(Job[TrainResult]):
    """Fine-tunes a network on prepared data.

    Attributes:
        settings: the sections `model` and `train` are used.
        data: output of the prepare job.
        out: folder of the run.
        setup: the backend, and what completes the model folder.
    """

    name: ClassVar[str] = JOB
    result: ClassVar[type[JobResult]] = TrainResult
    settings: Settings
    data: str
    out: str
    setup: TrainingSetup

    def execution(self, asked: Execution) -> Execution:
        """Lets the backend check the settings and say what its session needs."""
        self.setup.backend.check_settings(self.settings)
        master, conf = self.setup.backend.session(self.settings, asked.master, asked.conf)
        return replace(asked, master=master, conf=conf)

    def inputs(self) -> Mapping[str, Input]:
        """Returns the prepared data, and the initial weights where they are in a file. The driver reads the weights."""
        weights = self.settings.model.weights
        is_file = uri_of_weights(weights, "file:///") is not None
        return {
            "--data": Input.of(self.data),
            "model.weights": Input.of(weights if is_file else None, on_executors=False),
            "train.soft_labels": Input.of(self.settings.train.soft_labels),
            "train.mlflow.uri": Input.of(self.settings.train.mlflow.place, on_executors=False),
        }

    def read_inputs(self, run: JobRun) -> ReadyJob[TrainResult]:
        """Opens the prepared data, and the soft labels where there are any."""
        dataset = PreparedDataset.open(run.needed_uri("--data"), verify=self.settings.train.storage == "checked")
        soft = run.uri("train.soft_labels")
        teacher = Teacher.open(soft) if soft else None

        def produce(claimed: Claim) -> TrainResult:
            return train_claimed(run.spark, self.settings, dataset, claimed, self.setup)

        def check() -> None:
            check_tracking(self.settings.train.mlflow)
            check_cluster(run.spark, self.settings.train)

        asked = fingerprint(self.settings, dataset, teacher)
        return ReadyJob(
            asked,
            produce,
            check=check,
            extends=lambda before: extends(asked, before, run.store.uri),
        )


def train(
    spark: SparkSession, settings: Settings, dataset: PreparedDataset, run: Store, setup: TrainingSetup
) -> TrainResult:
    """Trains in an existing session, for Spark ML's `fit`. Where an earlier run was stopped, it goes on from there.

    Args:
        spark: the session.
        settings: the sections `model` and `train` are used.
        dataset: what to train on.
        run: folder of the run.
        setup: the backend, and what completes the model folder.

    Raises:
        CxrError: the settings or the data cannot work, or the training failed.
    """
    setup.backend.check_settings(settings)
    check_tracking(settings.train.mlflow)
    check_cluster(spark, settings.train)
    teacher = Teacher.of(settings.train, default_fs(spark))
    with claim(run, JOB, fingerprint(settings, dataset, teacher), overwrite=False) as claimed:
        if claimed.finished is not None:
            return finished_result(TrainResult, JOB, run.uri, claimed.finished)
        result = train_claimed(spark, settings, dataset, claimed, setup)
        claimed.done(result.summary())
    return result


def train_claimed(
    spark: SparkSession,
    settings: Settings,
    dataset: PreparedDataset,
    claimed: Claim,
    setup: TrainingSetup,
    fold: Fold | None = None,
    parent: str | None = None,
) -> TrainResult:
    """Trains in a folder that is claimed, from its last checkpoint if there is one, and makes the model.

    Args:
        spark: the session.
        settings: the sections `model` and `train` are used.
        dataset: what to train on.
        claimed: the run's folder.
        setup: the backend, and what completes the model folder.
        fold: the training's part in a cross-validation; None for one training on the splits of the dataset.
        parent: the ID of the run in MLflow of the whole cross-validation.

    Raises:
        CxrError: the settings or the data cannot work, or the training failed.
    """
    spec = start_training(
        settings,
        dataset,
        claimed.store.uri,
        threads=rank_threads(spark, settings.train),
        lock_token=claimed.lock.token,
        default_fs=default_fs(spark),
        fold=fold,
    )
    model = claimed.store.uri_of(MODEL)
    uri = claimed.store.uri
    tracking = settings.train.mlflow
    with tracked(tracking, claimed.store, lambda: described(settings, dataset, uri, fold, parent), whole=not parent):
        claimed.store.delete(DONE_NAME)  # of a shorter training that this one goes on with
        with live_page(spec):
            setup.backend.launch(spark, spec)
        metadata = finish(spec, dataset.manifest)
        setup.save_params(spark, model)
    facts: dict[str, Any] = {"model": model, "model_id": metadata.model_id, **metadata.metrics}
    if dataset.may_share_patients:
        facts["warnings"] = (MAY_SHARE_PATIENTS,)
    return TrainResult(out=claimed.store.uri, **facts)
