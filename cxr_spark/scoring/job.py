"""The score job on the driver: let Spark's tasks write predictions, clean up, and count."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from cxr_spark.config import ScoreSettings, Settings
from cxr_spark.errors import DataError, UsageError
from cxr_spark.models.description import described
from cxr_spark.models.folder import ModelMetadata, load_metadata
from cxr_spark.outputs.claim import Claim, digest
from cxr_spark.outputs.job import Input, Job, JobRun, Plan
from cxr_spark.outputs.own_files import delete_strays
from cxr_spark.outputs.results import JobResult
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.scoring.incremental import score_new
from cxr_spark.scoring.plan import Part
from cxr_spark.scoring.shipping import ship_model, threads_of_a_task
from cxr_spark.scoring.task import PartScorer, write_quarantine_part
from cxr_spark.scoring.work import check_source, work_of
from cxr_spark.storage.store import Store
from cxr_spark.tables.quarantine import examples

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


class ScoreResult(JobResult):
    """What a scoring gives.

    Attributes:
        model_id: SHA-256 of the model's weights.
        findings: what the probabilities are of, in order.
        task: `multi_label` or `single_label`.
        model: what the model is, see `models.description`.
        images: images that this run scored.
        quarantined: images that could not be read, by reason.
        changed: with `--incremental`: of these images, those scored before with other content.
        known: with `--incremental`: image files that have been scored or quarantined so far, by all models.
    """

    model_id: str
    findings: tuple[str, ...]
    task: str
    model: dict[str, Any] | None = None
    images: int
    quarantined: dict[str, int]
    changed: int | None = None
    known: int | None = None


@dataclass(frozen=True)
class ScoreJob(Job[ScoreResult]):
    """Writes the probabilities of every finding for every image, of prepared data or of raw image files.

    Attributes:
        settings: how to score.
        model: model folder of the train job.
        out: folder of the predictions.
        data: output of the prepare job; None for raw images.
        images: folders or globs of raw images; none with prepared data.
        incremental: add only what is new or has changed.
    """

    name: ClassVar[str] = "score"
    result: ClassVar[type[JobResult]] = ScoreResult
    settings: ScoreSettings
    model: str
    out: str
    data: str | None = None
    images: tuple[str, ...] = ()
    incremental: bool = False

    @classmethod
    def from_options(
        cls,
        settings: Settings,
        *,
        model: str,
        out: str,
        data: str | None = None,
        images: Sequence[str] | str | None = None,
        incremental: bool = False,
        **options: Any,
    ) -> ScoreJob:
        """Returns the job that options ask for; further ones are named as the setting of `score` that they replace.

        Raises:
            UsageError: options that contradict each other.
            ConfigError: an option is out of range.
        """
        patterns = check_source(data, images, options.get("split"))
        if incremental and not patterns:
            raise UsageError("--incremental is for raw images: give --images; prepared data are scored as a whole")
        score = settings.updated({f"score.{name}": value for name, value in options.items()}).score
        return cls(score, model, out, data, patterns, incremental)

    @property
    def adds(self) -> bool:
        """Whether the run adds to what is there: with `--incremental`."""
        return self.incremental

    def inputs(self) -> Mapping[str, Input]:
        """Returns images and model. The driver reads the model, and sends it to the executors."""
        return {
            "--data": Input.of(self.data),
            "--images": Input(self.images),
            "--model": Input.of(self.model, on_executors=False),
        }

    def plan(self, run: JobRun) -> Plan[ScoreResult]:
        """Opens the model and lists the images."""
        model_uri = run.needed_uri("--model")
        metadata = load_metadata(Store(model_uri))
        if self.incremental:
            return self._incremental(run, model_uri, metadata)
        work = work_of(run, self.settings.split, self.settings.image_index, metadata)
        fingerprint = {"model_id": metadata.model_id, **work.fingerprint}

        def do(claimed: Claim) -> ScoreResult:
            claimed.clear()  # another version may cut the work into other parts: old files would stay among the new
            model, _ = ship_model(run.spark, model_uri, metadata)
            scorer = PartScorer(
                out=claimed.store.uri,
                tag=digest(fingerprint)[:12],
                model=model,
                data=work.data,
                labels=work.labels,
                threads=threads_of_a_task(run.spark, len(work.parts)),
                batch=self.settings.batch,
            )
            return _result(
                claimed.store, metadata, score(run.spark, work.parts, work.set_aside, scorer, claimed.lock.check)
            )

        return Plan(fingerprint, do)

    def _incremental(self, run: JobRun, model_uri: str, metadata: ModelMetadata) -> Plan[ScoreResult]:
        fingerprint = {
            "incremental": True,
            "findings": list(metadata.findings),
            "image_index": self.settings.image_index,
        }

        def work(claimed: Claim) -> ScoreResult:
            counts = score_new(run.application, claimed, run.uris["--images"], self.settings, model_uri, metadata)
            return _result(claimed.store, metadata, counts)

        return Plan(fingerprint, work)


def _result(store: Store, metadata: ModelMetadata, counts: Mapping[str, Any]) -> ScoreResult:
    return ScoreResult(
        out=store.uri,
        model_id=metadata.model_id,
        findings=metadata.findings,
        task=metadata.task,
        model=described(metadata),
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
        set_aside: columns of `schema.QUARANTINE`: images that are not even read.
        scorer: writes a part.
        check_held: raises if another run took the output folder over; called before anything is deleted.

    Returns:
        The counts: `images`, and `quarantined` by reason.

    Raises:
        DataError: not one image could be read; prepared data or the model are damaged.
        RunError: files could not be written, or were lost.
    """
    store = Store(scorer.out)
    names: set[str] = set()
    quarantined: Counter[str] = Counter(set_aside["reason"].to_pylist())
    if set_aside.num_rows:
        names.add(write_quarantine_part(store, f"names-{scorer.tag}", set_aside))
    started = time.monotonic()
    scored = run_parts(spark, parts, scorer, "scoring")
    for part in scored:
        names.update(part.names)
        quarantined.update(part.quarantined)
    images, seconds = sum(part.images for part in scored), time.monotonic() - started
    log.info("scored %d images in %.1f s, %.1f images/s", images, seconds, images / seconds)
    check_held()
    delete_strays(store, "score", names)
    if images == 0:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(quarantined.items()))
        raise DataError(
            f"none of the images can be read ({reasons}): {examples(store)}; `cxr-spark quarantine {store.uri}` lists "
            "them all"
        )
    return {"images": images, "quarantined": dict(sorted(quarantined.items()))}
