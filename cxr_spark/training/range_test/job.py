"""The job of `train --find-rate`: which learning rate suits a training, tried in a few steps of it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cxr_spark.errors import ConfigError, RunError
from cxr_spark.outputs.claim import Claim
from cxr_spark.outputs.job import Execution, Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.names import RANGE_PICTURE_NAME, RANGE_TEST_NAME, names_of
from cxr_spark.outputs.results import JobResult
from cxr_spark.reporting.range_curve import range_curve
from cxr_spark.runtime.session import default_fs
from cxr_spark.storage.typed_json import validated
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.driver.cluster import check_cluster, rank_threads
from cxr_spark.training.job import TrainJob
from cxr_spark.training.range_test.plan import RangePlan, TriedRate, centred, steepest_place
from cxr_spark.training.soft_labels import Teacher
from cxr_spark.training.specification import CHECKPOINTS, TrainingSpec
from cxr_spark.training.start import fingerprint, start_training

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

_NONE = (
    "no rate lowered the loss in {steps} steps, so none is suggested: try more steps (--find-rate 300), and look at "
    "learning_rates.png"
)


class RangeTestResult(JobResult):
    """The result of a range test.

    Attributes:
        suggested: the rate at which the smoothed loss falls fastest; None where no rate lowered the loss.
        lowest_loss_at: the rate at which the smoothed loss is lowest, which is too high to train with; None likewise.
        steps: the number of steps that were done before the loss diverged, or the plan ended.
        warnings: what puts the suggestion into doubt, in words.
    """

    suggested: float | None = None
    lowest_loss_at: float | None = None
    steps: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RangeTestJob(Job[RangeTestResult]):
    """Tries rising learning rates in the first steps of a training, of which nothing but the losses is kept.

    Attributes:
        training: the training, with the folder of the range test.
        plan: the rates.
    """

    name: ClassVar[str] = "train --find-rate"
    result: ClassVar[type[JobResult]] = RangeTestResult
    training: TrainJob
    plan: RangePlan

    @property
    def out(self) -> str:  # type: ignore[override]
        """The folder of the range test, as the user wrote it."""
        return self.training.out

    @classmethod
    def of(cls, training: TrainJob, steps: int) -> RangeTestJob:
        """Makes a range test of a training.

        Raises:
            ConfigError: the number of steps is out of range, or the backend cannot do it.
        """
        if isinstance(steps, bool) or not isinstance(steps, int) or not 10 <= steps <= 100_000:
            raise ConfigError(f"--find-rate {steps}: expected a number of steps from 10 to 100000, such as 100")
        backend = training.settings.train.backend
        if backend != "torch":
            raise ConfigError(f"--find-rate is for train.backend=torch, and it is {backend}: leave one of them out")
        return cls(training, RangePlan(steps=steps))

    def execution(self, asked: Execution) -> Execution:
        """Lets the backend check the settings and say what its session needs."""
        return self.training.execution(asked)

    def inputs(self) -> Mapping[str, Input]:
        """Returns the inputs of the training."""
        return self.training.inputs()

    def read_inputs(self, run: JobRun) -> ReadyJob[RangeTestResult]:
        """Opens the prepared data, and the soft labels where there are any."""
        settings = self.training.settings
        dataset = PreparedDataset.open(run.needed_uri("--data"), verify=settings.train.storage == "checked")
        soft = run.uri("train.soft_labels")
        teacher = Teacher.open(soft) if soft else None
        asked = {**fingerprint(settings, dataset, teacher), "find_rate": self.plan.steps}
        return ReadyJob(
            asked,
            lambda claimed: self._produce(run.spark, dataset, claimed),
            check=lambda: check_cluster(run.spark, settings.train),
        )

    def _produce(self, spark: SparkSession, dataset: PreparedDataset, claimed: Claim) -> RangeTestResult:
        settings, store = self.training.settings, claimed.store
        spec = start_training(
            settings,
            dataset,
            store.uri,
            threads=rank_threads(spark, settings.train),
            lock_token=claimed.lock.token,
            default_fs=default_fs(spark),
        )
        store.delete(RANGE_TEST_NAME)  # of a run that was stopped
        self.training.setup.backend.launch(spark, spec.model_copy(update={"range_plan": self.plan}))
        result = _finish(spec)
        for info in list(store.child(CHECKPOINTS).files(recursive=False)):  # the network before its first step
            name = f"{CHECKPOINTS}/{info.name}"
            if names_of(self.name).is_fixed_or_made(name) and name not in claimed.foreign:
                store.delete(name)
        return result


def _finish(spec: TrainingSpec) -> RangeTestResult:
    """Reads what the ranks tried, completes `learning_rates.json`, draws it, and suggests a rate."""
    try:
        written = spec.run.read_json(RANGE_TEST_NAME)
    except FileNotFoundError:
        raise RunError(
            f"the range test in {spec.run_uri} has not come to its end: run the same command again"
        ) from None
    tried = [validated(TriedRate, each, f"{RANGE_TEST_NAME} is damaged") for each in written["tried"]]
    curve = centred([each.loss for each in tried])
    place = steepest_place(tried)
    suggested = None if place is None else float(f"{tried[place].learning_rate:.1e}")
    lowest = None if place is None else tried[curve.index(min(curve[place:]))].learning_rate
    facts: dict[str, Any] = {"suggested": suggested, "lowest_loss_at": lowest, "steps": len(tried)}
    warnings = () if place is not None else (_NONE.format(steps=len(tried)),)
    steps = [{**each.model_dump(), "smoothed_loss": mean} for each, mean in zip(tried, curve, strict=True)]
    spec.run.write_json(RANGE_TEST_NAME, {**facts, "warnings": list(warnings), "tried": steps})
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, RANGE_PICTURE_NAME)
        range_curve([each.learning_rate for each in tried], [each.loss for each in tried], curve, suggested, picture)
        spec.run.write_bytes(RANGE_PICTURE_NAME, picture.read_bytes())
    for warning in warnings:
        log.warning("%s", warning)
    if suggested is not None:
        log.info("suggested: --set train.learning_rate=%g, at which the loss falls fastest", suggested)
    return RangeTestResult(out=spec.run_uri, **facts, **({"warnings": warnings} if warnings else {}))
