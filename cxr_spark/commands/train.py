"""Fine-tunes a network on prepared data, on one rank a worker, and goes on where a killed run stopped."""

from __future__ import annotations

import argparse

from cxr_spark.prepared import PreparedDataset
from cxr_spark.spark import resolve_shared, session
from cxr_spark.storage import Store

HELP = "fine-tune a network on prepared data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--data", required=True, metavar="URI", help="output of the prepare job")
    parser.add_argument("--out", required=True, metavar="URI", help="folder of this run")
    parser.add_argument("--backend", choices=("torch",), help="what trains (default: torch)")
    parser.add_argument("--workers", type=int, metavar="N", help="training processes (ranks) (default: 1)")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Trains, and writes RUN/model, RUN/checkpoints, RUN/history.json and RUN/curves.png."""
    from cxr_spark.training.driver import train

    settings = args.settings.updated({"train.backend": args.backend, "train.workers": args.workers})
    spark = session("cxr-spark train", args.master, args.spark_conf)
    data = resolve_shared(spark, args.data, "--data")
    store = Store(resolve_shared(spark, args.out, "--out"))
    dataset = PreparedDataset.open(data)
    args.status_uri = store.uri
    return train(spark, settings, dataset, store, overwrite=args.overwrite)
