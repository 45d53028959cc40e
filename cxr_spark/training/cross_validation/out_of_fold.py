"""Out-of-fold scores: every image of train and val, scored by the one model that has not seen it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_spark.config import ScoreSettings
from cxr_spark.errors import RunError
from cxr_spark.models.description import described
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.models.metadata_file import load_metadata
from cxr_spark.outputs.claim import Claim, claim, digest, finished_before
from cxr_spark.scoring.engine import engine_of
from cxr_spark.scoring.ensemble import joint_id
from cxr_spark.scoring.job import ScoreJob, ScoreResult
from cxr_spark.scoring.models import Models
from cxr_spark.scoring.plan import PreparedPart, label_order
from cxr_spark.scoring.running import keep_reported, run_image_parts
from cxr_spark.scoring.shipping import threads_of_a_task
from cxr_spark.scoring.task import PartScorer, ScoredPart
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import VALIDATION
from cxr_spark.training.folds import FoldAssignment
from cxr_spark.training.rank.shards import Index

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


def score_out_of_fold(
    spark: SparkSession,
    dataset: PreparedDataset,
    assignment: FoldAssignment,
    models: Sequence[str],
    out: Store,
    settings: ScoreSettings,
) -> None:
    """Writes the out-of-fold scores as an output of the score job, unless they are there already.

    The `split` of every row is val, since each image is a validation image of the model that scores it. The `model_id`
    is that of all models together, as where they are averaged.

    Args:
        spark: the session.
        dataset: the prepared dataset.
        assignment: the folds of its images.
        models: full URIs of the model folders, the first fold's first.
        out: folder of the scores.
        settings: `batch` is used. The scores are torch's in float32, also with `train.precision=bf16`, by which the
            training validates in bfloat16.

    Raises:
        DataError: the prepared data or a model are damaged.
        RunError: a file could not be read or written, or a model was replaced meanwhile.
    """
    members = [load_metadata(Store(uri)) for uri in models]
    plain = ScoreSettings(batch=settings.batch)
    engine = engine_of(plain)
    fingerprint = {
        "model_id": joint_id(members),
        **engine.fingerprint,
        "data": dataset.store.uri,
        "manifest": digest(dataset.manifest),
        "fold_of_images": digest({"names": assignment.images.names.tolist(), "folds": assignment.fold.tolist()}),
    }
    if finished_before(out, ScoreJob.name, fingerprint) is not None:
        log.info("the out-of-fold scores are there: %s", out.uri)
        return
    with claim(out, ScoreJob.name, fingerprint, overwrite=True) as claimed:  # scores of other models may be there
        images = _score(
            spark, dataset, assignment, list(zip(models, members, strict=True)), claimed, plain, fingerprint
        )
        about: dict[str, Any] = {"folds": len(models), **engine.described()}
        about = {**described(members[0]), **about, "models_by_fold": [member.model_id for member in members]}
        result = ScoreResult(
            out=out.uri,
            model_id=joint_id(members),
            findings=members[0].findings,
            task=members[0].task,
            model={name: value for name, value in about.items() if name != "epoch"},  # each model has its own
            images=images,
            quarantined={},
        )
        claimed.done(result.summary())


def _score(
    spark: SparkSession,
    dataset: PreparedDataset,
    assignment: FoldAssignment,
    models: Sequence[tuple[str, ModelMetadata]],
    claimed: Claim,
    settings: ScoreSettings,
    fingerprint: dict[str, Any],
) -> int:
    """Scores the images of each fold with its model, and returns how many there were."""
    scored: list[ScoredPart] = []
    for number, (uri, metadata) in enumerate(models, start=1):
        parts = list(held_out_parts(dataset, assignment.held_out(number), first=len(scored)))
        scorer = PartScorer(
            out=claimed.store.uri,
            tag=digest(fingerprint)[:12],
            model=Models((uri,), (metadata,), settings).ship(spark),
            data=dataset.store.uri,
            labels=label_order(metadata.findings, dataset.findings, dataset.store.uri),
            threads=threads_of_a_task(spark, len(parts)),
            batch=settings.batch,
            model_id=str(fingerprint["model_id"]),
        )
        scored += run_image_parts(spark, parts, scorer, doing=f"scoring fold {number}", done="scored")
    images = keep_reported(claimed.store, scored, claimed.lock.check)
    if images != len(assignment.images):
        raise RunError(
            f"{images} of {len(assignment.images)} images were scored: {dataset.store.uri} was changed while the job "
            "ran; run it again"
        )
    return images


def held_out_parts(dataset: PreparedDataset, images: Index, first: int) -> Iterator[PreparedPart]:
    """Yields the images of a fold in parts, one for each file that holds some.

    Args:
        dataset: the prepared dataset.
        images: the images of the fold.
        first: the number of the first part.
    """
    for number, file in enumerate(np.unique(images.file).tolist(), start=first):
        name = images.files[file]
        rows = tuple(np.sort(images.row[images.file == file]).tolist())
        yield PreparedPart(number, VALIDATION, name, dataset.sha256(name), rows)
