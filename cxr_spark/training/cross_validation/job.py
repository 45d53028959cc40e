"""The job of `train --folds`: a training for each fold of the patients, and the out-of-fold scores of their models.

Each training is an ordinary run in a folder of its own. A cross-validation that was stopped goes on with the training
in which that happened.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from cxr_spark.errors import ConfigError, DataError
from cxr_spark.outputs.claim import DONE_NAME, Claim, claim
from cxr_spark.outputs.job import Execution, Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.mark import Mark, read_mark, write_mark
from cxr_spark.outputs.names import CROSS_VALIDATION_NAME, FOLD, OUT_OF_FOLD
from cxr_spark.outputs.results import JobResult, finished_result
from cxr_spark.scoring.job import ScoreJob
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.cross_validation.out_of_fold import score_out_of_fold
from cxr_spark.training.cross_validation.results import CrossValidationResult, FoldResult, spread, tell
from cxr_spark.training.driver.cluster import check_cluster
from cxr_spark.training.driver.finish import MODEL
from cxr_spark.training.extension import extends
from cxr_spark.training.folds import Fold, FoldAssignment, assign_images
from cxr_spark.training.job import TrainJob, TrainResult, train_claimed
from cxr_spark.training.soft_labels import Teacher
from cxr_spark.training.start import fingerprint
from cxr_spark.training.tracking.description import described
from cxr_spark.training.tracking.following import check_tracking, tracked

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossValidationJob(Job[CrossValidationResult]):
    """Trains a model for each fold of the images of train and val, and scores each image by the model of its fold.

    Attributes:
        training: the training of which each fold is one, with the folder of the whole.
        folds: the number of folds.
    """

    name: ClassVar[str] = "train --folds"
    result: ClassVar[type[JobResult]] = CrossValidationResult
    training: TrainJob
    folds: int

    @property
    def out(self) -> str:  # type: ignore[override]
        """The folder of the whole, as the user wrote it."""
        return self.training.out

    @classmethod
    def of(cls, training: TrainJob, folds: int) -> CrossValidationJob:
        """Makes a cross-validation of a training.

        Raises:
            ConfigError: there are too few folds, or the backend cannot do it.
        """
        if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
            raise ConfigError(f"--folds {folds}: expected a whole number of 2 or more; leave it out for one training")
        backend = training.settings.train.backend
        if backend != "torch":
            raise ConfigError(f"--folds {folds} is for train.backend=torch, and it is {backend}: leave one of them out")
        return cls(training, folds)

    def execution(self, asked: Execution) -> Execution:
        """Lets the backend check the settings and say what its session needs."""
        return self.training.execution(asked)

    def inputs(self) -> Mapping[str, Input]:
        """Returns the inputs of the training."""
        return self.training.inputs()

    def read_inputs(self, run: JobRun) -> ReadyJob[CrossValidationResult]:
        """Opens the prepared data and assigns its images to folds."""
        settings = self.training.settings
        dataset = PreparedDataset.open(run.needed_uri("--data"), verify=settings.train.storage == "checked")
        soft = run.uri("train.soft_labels")
        teacher = Teacher.open(soft) if soft else None
        assignment = assign_images(dataset, self.folds, settings.train.seed)
        _check_assignment(assignment, self.folds, settings.train.workers, dataset)
        if teacher:
            teacher.probabilities(assignment.images.names.tolist(), dataset.findings)
        asked = {**fingerprint(settings, dataset, teacher), "folds": self.folds}

        def produce(claimed: Claim) -> CrossValidationResult:
            numbers: dict[str, float] = {}
            describe = partial(described, settings, dataset, claimed.store.uri, folds=self.folds)
            with tracked(settings.train.mlflow, claimed.store, describe, numbers) as parent:
                result = self._produce(run.spark, dataset, assignment, teacher, claimed, parent)
                numbers.update(_numbers(result))
            return result

        def check() -> None:
            check_tracking(settings.train.mlflow)
            check_cluster(run.spark, settings.train)

        return ReadyJob(
            asked,
            produce,
            check=check,
            extends=lambda before: extends(asked, before, run.store.uri),
        )

    def _produce(
        self,
        spark: SparkSession,
        dataset: PreparedDataset,
        assignment: FoldAssignment,
        teacher: Teacher | None,
        claimed: Claim,
        parent: str | None,
    ) -> CrossValidationResult:
        """Trains the folds one after the other, scores and sums up in a claimed folder.

        In MLflow the folds are below the run `parent`, if there is one.
        """
        settings = self.training.settings
        # These are left by this cross-validation with fewer epochs, which is continued.
        for name in (DONE_NAME, CROSS_VALIDATION_NAME):
            claimed.store.delete(name)
        for warning in assignment.warnings():
            log.warning("%s", warning)
        found = {}
        for number in range(1, self.folds + 1):
            name = FOLD.format(number=number)
            _tell_fold(dataset, assignment, number)
            run = _own_folder(claimed.store, name, TrainJob.name)
            trained = self._train(spark, dataset, teacher, run, number, parent)
            found[name] = _fold_result(assignment, number, run, trained)
        scores = _own_folder(claimed.store, OUT_OF_FOLD, ScoreJob.name)
        models = [fold.model for fold in found.values()]
        score_out_of_fold(spark, dataset, assignment, models, scores, settings.score)
        result = CrossValidationResult(
            out=claimed.store.uri,
            folds=found,
            val_macro_auc=spread([fold.val_macro_auc for fold in found.values()]),
            out_of_fold=scores.uri,
            images=len(assignment.images),
            warnings=assignment.warnings(),
        )
        claimed.store.write_json(CROSS_VALIDATION_NAME, {**result.summary(), "seed": settings.train.seed})
        tell(result)
        return result

    def _train(
        self,
        spark: SparkSession,
        dataset: PreparedDataset,
        teacher: Teacher | None,
        run: Store,
        number: int,
        parent: str | None,
    ) -> TrainResult:
        """Trains the model of a fold, unless that is done already."""
        settings = self.training.settings
        fold = Fold(number=number, of=self.folds, seed=settings.train.seed)
        asked = fingerprint(settings, dataset, teacher, fold)
        with claim(run, TrainJob.name, asked, False, lambda before: extends(asked, before, run.uri)) as claimed:
            if claimed.finished is not None:
                return finished_result(TrainResult, TrainJob.name, run.uri, claimed.finished)
            result = train_claimed(spark, settings, dataset, claimed, self.training.setup, fold, parent)
            claimed.done(result.summary())
        return result


def _tell_fold(dataset: PreparedDataset, assignment: FoldAssignment, number: int) -> None:
    """Logs the sizes of a fold, and warns of findings without a training image."""
    train, held_out = assignment.training(number), assignment.held_out(number)
    log.info(
        "fold %d of %d: %d images to train on, %d of %d patients for validation",
        number, len(assignment.patients), len(train), len(held_out), assignment.patients[number - 1],
    )  # fmt: skip
    missing = [name for name, any_ in zip(dataset.findings, (train.labels == 1).any(0), strict=True) if not any_]
    if missing:
        log.warning("fold %d has no training image of %s: its model cannot learn it", number, ", ".join(missing[:20]))


def _fold_result(assignment: FoldAssignment, number: int, run: Store, trained: TrainResult) -> FoldResult:
    return FoldResult(
        model=run.uri_of(MODEL),
        model_id=trained.model_id,
        training_images=len(assignment.training(number)),
        images=len(assignment.held_out(number)),
        patients=assignment.patients[number - 1],
        epoch=trained.epoch,
        val_loss=trained.val_loss,
        val_macro_auc=trained.val_macro_auc,
    )


def _numbers(result: CrossValidationResult) -> dict[str, float]:
    """Returns how the macro AUC differs between the folds, as metrics for MLflow."""
    found = result.val_macro_auc.model_dump(exclude={"folds"}) if result.val_macro_auc else {}
    return {f"val_macro_auc_{name}": value for name, value in found.items() if value is not None}


def _own_folder(whole: Store, name: str, job: str) -> Store:
    """Returns a folder of the whole, marked as the output of a job.

    Without a mark the job would refuse a folder that holds any file, even one that somebody else put there and that is
    in nobody's way. Such files stay, and are warned of, as in the folder of the whole.
    """
    folder = whole.child(name)
    if read_mark(folder) is None:
        write_mark(folder, Mark(job))
    return folder


def _check_assignment(assignment: FoldAssignment, folds: int, workers: int, dataset: PreparedDataset) -> None:
    patients = sum(assignment.patients)
    if folds > patients:
        raise DataError(
            f"--folds {folds}: the train and val images of {dataset.store.uri} are of {patients} patients, and each "
            f"fold needs one at least: give --folds {max(2, patients)} or fewer, or prepare more images"
        )
    least = min(len(assignment.training(number)) for number in range(1, folds + 1))
    if least < workers:
        raise DataError(
            f"--folds {folds} leaves {least} images of {dataset.store.uri} to train on, fewer than the {workers} "
            "workers: prepare more images, or lower --workers"
        )
