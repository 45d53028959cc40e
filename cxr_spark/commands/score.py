"""Writes the probabilities of every finding for every image, of prepared data or of raw image files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cxr_spark.config import ScoreSettings
from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import claim, digest
from cxr_spark.outputs.overlap import config_inputs, refuse_overlap
from cxr_spark.runtime.application import Application
from cxr_spark.storage.store import Store

if TYPE_CHECKING:
    from cxr_spark.models.folder import ModelMetadata

HELP = "write the probabilities of every finding for every image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", metavar="URI", help="output of the prepare job")
    source.add_argument("--images", metavar="URI", action="append", help="folder or glob of raw images; repeatable")
    add("--model", metavar="URI", required=True, help="model folder: RUN/model of the train job")
    add("--out", metavar="URI", required=True, help="folder of the predictions")
    add("--split", help="split of prepared data: train, val, test, several such as val,test, or all (default: test)")
    add(
        "--image-index",
        help="raw images are called by their file name, or by the path below the folder (default: name)",
    )
    add("--batch", metavar="N", help="images a forward pass (default: 32)")
    add(
        "--incremental",
        action="store_true",
        help="add to --out the raw images that are new or have changed since this model scored them, each exactly once",
    )


def run(args: argparse.Namespace) -> dict[str, object]:
    """Writes OUT/*.parquet, and OUT/_quarantine with the raw images that cannot be read."""
    from cxr_spark.models.folder import load_metadata
    from cxr_spark.scoring.job import score, threads_of_a_task
    from cxr_spark.scoring.shipping import ship_model
    from cxr_spark.scoring.task import PartScorer
    from cxr_spark.scoring.work import prepared_work, raw_work

    if args.images and args.split:
        raise UsageError("--split is for prepared data: give it with --data, or leave it out with --images")
    if args.incremental and not args.images:
        raise UsageError("--incremental is for raw images: give --images; prepared data are scored as a whole")
    changes = {f"score.{name}": getattr(args, name) for name in ScoreSettings.model_fields}
    settings: ScoreSettings = args.settings.updated(changes).score
    application = Application("cxr-spark score", args.master, args.spark_conf)
    store = Store(application.resolve_shared(args.out, "--out"))
    model_uri = application.resolve(args.model)
    data = [application.resolve_shared(args.data, "--data")] if args.data else []
    patterns = [application.resolve_shared(pattern, "--images") for pattern in args.images or ()]
    inputs = {"--data": data, "--images": patterns, "--model": [model_uri], "--config": config_inputs(args.config)}
    refuse_overlap(store.uri, inputs, application.hadoop_settings)
    metadata = load_metadata(Store(model_uri))
    if args.incremental:
        return _score_new(args, application, store, patterns, settings, model_uri, metadata)
    if data:
        work = prepared_work(data[0], settings.split, metadata)
    else:
        work = raw_work(patterns, settings.image_index, application.spark.sparkContext.defaultParallelism)
    fingerprint = {"model_id": metadata.model_id, **work.fingerprint}
    with claim(store, "score", fingerprint, args.overwrite) as claimed:
        args.status_uri = store.uri
        if claimed.finished is not None:
            return claimed.finished
        claimed.clear()  # another version may cut the work into other parts: old files would stay among the new
        spark = application.spark
        model, _ = ship_model(spark, model_uri)
        scorer = PartScorer(
            out=store.uri,
            tag=digest(fingerprint)[:12],
            model=model,
            data=work.data,
            labels=work.labels,
            threads=threads_of_a_task(spark, len(work.parts)),
            batch=settings.batch,
        )
        counts = score(spark, work.parts, work.set_aside, scorer, claimed.lock.check)
        summary = {**_about(store, metadata), **counts}
        claimed.done(summary)
    return summary


def _score_new(
    args: argparse.Namespace,
    application: Application,
    store: Store,
    patterns: Sequence[str],
    settings: ScoreSettings,
    model_uri: str,
    metadata: ModelMetadata,
) -> dict[str, object]:
    from cxr_spark.scoring.incremental import score_new

    fingerprint = {
        "incremental": True,
        "findings": list(metadata.findings),
        "image_index": settings.image_index,
    }
    with claim(store, "score", fingerprint, args.overwrite) as claimed:
        args.status_uri = store.uri
        counts = score_new(application, claimed, patterns, settings, model_uri, metadata)
        summary = {**_about(store, metadata), **counts}
        claimed.done(summary)
    return summary


def _about(store: Store, metadata: ModelMetadata) -> dict[str, object]:
    """Returns what readers of the predictions must know of the model."""
    return {
        "out": store.uri,
        "model_id": metadata.model_id,
        "findings": list(metadata.findings),
        "task": metadata.task,
    }
