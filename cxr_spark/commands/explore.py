"""Shows what is in a prepared dataset: class balance, co-occurrence, patients, ages, views, shapes, grey values."""

from __future__ import annotations

import argparse

from cxr_spark.outputs.claim import claim, digest
from cxr_spark.outputs.overlap import config_inputs, refuse_overlap
from cxr_spark.runtime.application import Application
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset

HELP = "class balance, patients, ages, shapes and intensities of prepared data, as a page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("--data", metavar="URI", required=True, help="output of the prepare job")
    parser.add_argument("--out", metavar="URI", required=True, help="folder of explore.json, explore.html and plots")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Writes OUT/explore.json, OUT/explore.html and OUT/*.png."""
    from cxr_spark.exploration.computation import explore, write

    application = Application("cxr-spark explore", args.master, args.spark_conf)
    uri = application.resolve_shared(args.data, "--data")
    store = Store(application.resolve_shared(args.out, "--out"))
    inputs = {"--data": [uri], "--config": config_inputs(args.config)}
    refuse_overlap(store.uri, inputs, application.hadoop_settings)
    dataset = PreparedDataset.open(uri)
    with claim(store, "explore", {"data": uri, "manifest": digest(dataset.manifest)}, args.overwrite) as claimed:
        args.status_uri = store.uri
        if claimed.finished is not None:
            return claimed.finished
        exploration = explore(application.spark, dataset)
        write(store, exploration)
        facts = exploration.facts
        summary = {
            "report": store.uri_of("explore.html"),
            "images": {name: split["images"] for name, split in facts["splits"].items()},
            "patients": facts["n_patients"],
            "evenness": facts["information"]["evenness"],
        }
        claimed.done(summary)
    return summary
