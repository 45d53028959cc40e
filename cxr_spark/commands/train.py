"""Fine-tunes a network on prepared data, on one rank a worker, and goes on where a killed run stopped."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from cxr_spark.outputs.claim import finished_before
from cxr_spark.outputs.overlap import config_inputs, refuse_overlap
from cxr_spark.runtime.application import Application
from cxr_spark.runtime.session import under_spark_submit
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset

HELP = "fine-tune a network on prepared data"

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--data", required=True, metavar="URI", help="output of the prepare job")
    parser.add_argument("--out", required=True, metavar="URI", help="folder of this run")
    parser.add_argument("--backend", choices=("torch", "bigdl"), help="what trains (default: torch)")
    parser.add_argument("--workers", type=int, metavar="N", help="training processes (ranks) (default: 1)")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Trains, and writes RUN/model, RUN/checkpoints, RUN/history.json and RUN/curves.png."""
    from cxr_spark.bigdl import limits
    from cxr_spark.bigdl.session import local_master, session_settings
    from cxr_spark.models.initial_weights import uri_of_weights
    from cxr_spark.spark_ml.training import train
    from cxr_spark.training.plan import fingerprint

    settings = args.settings.updated({"train.backend": args.backend, "train.workers": args.workers})
    master, conf = args.master, args.spark_conf
    if settings.train.backend == "bigdl":
        limits.check_settings(settings)
        if not under_spark_submit():
            master, conf = local_master(master), session_settings(settings.train.bigdl_engine, conf)
    application = Application("cxr-spark train", master, conf)
    data = application.resolve_shared(args.data, "--data")
    store = Store(application.resolve_shared(args.out, "--out"))
    weights = uri_of_weights(settings.model.weights, application.default_fs)
    inputs: dict[str, Sequence[str | None]] = {
        "--data": [data],
        "model.weights": [weights],
        "--config": config_inputs(args.config),
    }
    refuse_overlap(store.uri, inputs, application.hadoop_settings)
    dataset = PreparedDataset.open(data)
    args.status_uri = store.uri
    finished = None if args.overwrite else finished_before(store, "train", fingerprint(settings, dataset))
    if finished is not None:
        log.info("finished before, nothing to do: %s", store.uri)
        return finished
    return train(application.spark, settings, dataset, store, overwrite=args.overwrite)
