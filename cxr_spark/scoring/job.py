"""The score job on the driver: lets Spark's tasks write predictions, deletes what is left over, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from cxr_spark.config import ScoreSettings, Settings
from cxr_spark.errors import DataError, UsageError
from cxr_spark.imaging.dicom.gate import DicomGate
from cxr_spark.outputs.claim import Claim, digest
from cxr_spark.outputs.job import Input, Job, JobRun, ReadyJob
from cxr_spark.outputs.results import JobResult
from cxr_spark.scoring.engine import check_installed, engine_of
from cxr_spark.scoring.headers import doubts_of
from cxr_spark.scoring.incremental import score_new
from cxr_spark.scoring.models import Models, open_models
from cxr_spark.scoring.plan import Part, remedy_for_names
from cxr_spark.scoring.request import check_form, check_source, request_of
from cxr_spark.scoring.running import keep_reported, run_image_parts
from cxr_spark.scoring.seen_images import doubts_about
from cxr_spark.scoring.shipping import threads_of_a_task
from cxr_spark.scoring.task import PartScorer, write_quarantine_part
from cxr_spark.scoring.thresholds import thresholds_of
from cxr_spark.storage.store import Store
from cxr_spark.tables.quarantine import examples
from cxr_spark.tables.score_columns import ScoreForm
from cxr_spark.tables.text import counted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class ScoreResult(JobResult):
    """The result of the score job.

    Attributes:
        model_id: SHA-256 of the model's weights; of several models, those of all with `+` between them.
        findings: the names of the findings, in the order of the probabilities.
        task: `multi_label` or `single_label`.
        model: a description of the model, see `models.description`; that of several models has the list `models`.
        images: images that this run scored.
        quarantined: images that could not be read, by reason.
        changed: those of the images that were scored before with other content; None without `--incremental`.
        dicom_doubtful: DICOM images that were scored though they may be no frontal chest radiographs, by reason.
        known: image files that have been scored or quarantined so far, by all models; None without `--incremental`.
        warnings: what puts the scores into doubt, in words.
        splits_trained_on: the scored splits that a model of a cross-validation was trained on; they give no thresholds.
    """

    model_id: str
    findings: tuple[str, ...]
    task: str
    model: dict[str, Any] | None = None
    images: int
    quarantined: dict[str, int]
    dicom_doubtful: dict[str, int] | None = None
    changed: int | None = None
    known: int | None = None
    warnings: tuple[str, ...] = ()
    splits_trained_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreJob(Job[ScoreResult]):
    """Writes the probabilities of every finding for every image, of prepared data or of raw image files.

    Attributes:
        settings: how to score.
        models: model folders of the train job; the probabilities of several are averaged.
        out: folder of the predictions.
        data: output of the prepare job; None for raw images.
        images: folders or globs of raw images; none with prepared data.
        incremental: whether to score only images that are new or have changed, and to keep what is there.
    """

    name: ClassVar[str] = "score"
    result: ClassVar[type[JobResult]] = ScoreResult
    settings: ScoreSettings
    models: tuple[str, ...]
    out: str
    data: str | None = None
    images: tuple[str, ...] = ()
    incremental: bool = False

    @classmethod
    def from_options(
        cls,
        settings: Settings,
        *,
        model: Sequence[str] | str,
        out: str,
        data: str | None = None,
        images: Sequence[str] | str | None = None,
        incremental: bool = False,
        user: str = "cxr-spark score",
        **options: Any,
    ) -> ScoreJob:
        """Returns the job that options ask for; further ones are named as the setting of `score` that they replace.

        Raises:
            UsageError: options contradict each other, or the library that is to compute, for the command or function
                `user`, is not installed here.
            ConfigError: an option is out of range.
        """
        patterns = check_source(data, images, options.get("split"))
        if incremental and not patterns:
            raise UsageError("--incremental is for raw images: give --images; prepared data are scored as a whole")
        score = settings.updated({f"score.{name}": value for name, value in options.items()}).score
        models = (model,) if isinstance(model, str) else tuple(model)
        if not models:
            raise UsageError("--model is missing: expected the folder of a model, or of several")
        check_form(score, incremental, options.get("operating_point"))
        check_installed(engine_of(score), user)
        return cls(score, models, out, data, patterns, incremental)

    @property
    def adds(self) -> bool:
        """Whether the run adds to what is there: with `--incremental`."""
        return self.incremental

    def inputs(self) -> Mapping[str, Input]:
        """Returns images and models. The driver reads the models, and sends them to the executors."""
        return {
            "--data": Input.of(self.data),
            "--images": Input(self.images),
            "--model": Input(self.models, on_executors=False),
            "--calibration-data": Input.of(self.settings.calibration_data),
            "--thresholds": Input.of(self.settings.thresholds, on_executors=False),
        }

    def read_inputs(self, run: JobRun) -> ReadyJob[ScoreResult]:
        """Opens the models and lists the images."""
        reference = run.uri("--calibration-data") or run.uri("--data")
        models = open_models(run.uris["--model"], self.settings, reference)
        form = self._form(run.uri("--thresholds"), models)
        if self.incremental:
            return self._incremental(run, models, form)
        request = request_of(run, self.settings, models.first)
        fingerprint = {"model_id": models.model_id, **models.fingerprint, **request.fingerprint, **form.fingerprint}
        if self.images and not self.settings.at_default("dicom"):
            fingerprint["dicom"] = self.settings.dicom.model_dump()
        doubts = doubts_about(models.uris, models.members, request.dataset, self.settings.split)

        def produce(claimed: Claim) -> ScoreResult:
            claimed.clear()  # another version may cut the images into other parts: old files would stay among the new
            scorer = PartScorer(
                out=claimed.store.uri,
                tag=digest(fingerprint)[:12],
                model=models.ship(run.spark),
                data=request.data,
                labels=request.labels,
                threads=threads_of_a_task(run.spark, len(request.parts)),
                batch=self.settings.batch,
                gate=DicomGate(**self.settings.dicom.model_dump()),
                form=form,
            )
            counts = score(run.spark, request.parts, request.set_aside, scorer, claimed.lock.check)
            return _result(claimed.store, models, {**counts, **doubts})

        return ReadyJob(fingerprint, produce)

    def _form(self, thresholds: str | None, models: Models) -> ScoreForm:
        settings = self.settings
        if thresholds is not None and models.first.task == "single_label":
            raise UsageError("--thresholds: this model gives the probabilities of one class of all, which needs none")
        chosen = None
        if thresholds is not None:
            chosen = thresholds_of(
                thresholds, settings.operating_point, models.model_id, models.first.findings, models.described()
            )
        by_finding = settings.format == "csv" or settings.columns == "findings"
        return ScoreForm(format=settings.format, by_finding=by_finding, thresholds=chosen)

    def _incremental(self, run: JobRun, models: Models, form: ScoreForm) -> ReadyJob[ScoreResult]:
        fingerprint = {
            "incremental": True,
            "findings": list(models.first.findings),
            "image_index": self.settings.image_index,
            **models.fingerprint,
            **form.columns,
        }

        def produce(claimed: Claim) -> ScoreResult:
            counts = score_new(run.application, claimed, run.uris["--images"], self.settings, models, form, fingerprint)
            return _result(claimed.store, models, counts)

        return ReadyJob(fingerprint, produce)


def _result(store: Store, models: Models, counts: Mapping[str, Any]) -> ScoreResult:
    return ScoreResult(
        out=store.uri,
        model_id=models.model_id,
        findings=models.first.findings,
        task=models.first.task,
        model=models.described(),
        **counts,
    )


def score(
    spark: SparkSession,
    parts: Sequence[Part],
    set_aside: pa.Table,
    scorer: PartScorer,
    check_held: Callable[[], None],
) -> dict[str, Any]:
    """Writes the predictions of all parts.

    Args:
        spark: the session.
        parts: what to score.
        set_aside: columns of `schema.QUARANTINE`: images that are refused for their names and never read.
        scorer: writes a part.
        check_held: raises if another run took the output folder over; called before anything is deleted.

    Returns:
        The counts: `images`, and `quarantined` by reason.

    Raises:
        DataError: not one image could be read; prepared data or the model are damaged.
        RunError: files could not be written, or were lost.
    """
    store = Store(scorer.out)
    quarantined: Counter[str] = Counter(set_aside["reason"].to_pylist())
    refused = [write_quarantine_part(store, f"names-{scorer.tag}", set_aside)] if set_aside.num_rows else []
    scored = run_image_parts(spark, parts, scorer, doing="scoring", done="scored")
    for part in scored:
        quarantined.update(part.quarantined)
    images = keep_reported(store, scored, check_held, refused)
    doubts = doubts_of(part.doubts for part in scored)
    reasons = dict(sorted(quarantined.items()))
    if images == 0:
        raise DataError(
            f"none of the images can be read ({counted(reasons)}): {examples(store)}; `cxr-spark quarantine "
            f"{store.uri}` lists them all{remedy_for_names(quarantined)}"
        )
    counts = {"images": images, "quarantined": reasons}
    return {**counts, "dicom_doubtful": doubts} if doubts else counts
