"""Computes AUCs with intervals, plots and a report from predictions: the score job's, or any other tool's."""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import time
from typing import TYPE_CHECKING, Any

from cxr_spark.application import Application
from cxr_spark.config import EvaluateSettings
from cxr_spark.errors import DataError, UsageError
from cxr_spark.output import claim
from cxr_spark.storage import Store, read_uri

if TYPE_CHECKING:
    from cxr_spark.evaluation.evaluate import Evaluation

HELP = "AUCs with intervals, plots and a report from predictions"

#: Images are rows of numbers here, not pixels: larger Arrow batches than other jobs'.
_CONF = {"spark.sql.execution.arrow.maxRecordsPerBatch": "10000"}

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    add = parser.add_argument
    add(
        "--predictions",
        required=True,
        metavar="URI",
        help="output of the score job; or a CSV or Parquet table with `Image Index` and `prob_FINDING` columns",
    )
    add("--out", required=True, metavar="URI", help="folder of metrics.json, roc.png, auc.png and report.html")
    add("--labels", metavar="CSV", help="NIH's label file, for predictions that carry no labels; gzipped or not")
    add("--replicates", metavar="N", help="bootstrap replicates of the intervals; 0: none (default: 1000)")
    add("--seed", metavar="N", help="seed of the bootstrap (default: 42)")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Writes OUT/metrics.json, roc.png, auc.png and report.html."""
    from cxr_spark.datasets.nih import read_nih_labels
    from cxr_spark.evaluation.evaluate import evaluate
    from cxr_spark.evaluation.predictions import read_predictions, with_labels
    from cxr_spark.evaluation.provenance import is_synthetic
    from cxr_spark.evaluation.tables import data_files

    changes = {f"evaluate.{name}": getattr(args, name) for name in EvaluateSettings.model_fields}
    settings: EvaluateSettings = args.settings.updated(changes).evaluate
    application = Application("cxr-spark evaluate", args.master, {**_CONF, **args.spark_conf})
    uri = application.resolve_shared(args.predictions, "--predictions")
    store = Store(application.resolve_shared(args.out, "--out"))
    labels_uri = application.resolve(args.labels) if args.labels else None
    for name, source in (("--predictions", uri), ("--labels", labels_uri)):
        if source is not None and f"{source}/".startswith(f"{store.uri.rstrip('/')}/"):
            raise UsageError(f"--out {store.uri} holds {name} {source}: choose a folder of its own")

    files = data_files(uri)
    label_bytes = _read_labels(labels_uri) if labels_uri else None
    fingerprint = {
        **settings.model_dump(mode="json"),
        "predictions": uri,
        "prediction_files": _digest("".join(f"{file.uri}\0{file.size}\0{file.modified}\n" for file in files).encode()),
        "labels": None if label_bytes is None else _digest(label_bytes),
    }
    with claim(store, "evaluate", fingerprint, args.overwrite) as claimed:
        args.status_uri = store.uri
        if claimed.finished is not None:
            return claimed.finished
        predictions = read_predictions(application.spark, uri)
        if label_bytes is not None and labels_uri is not None:
            predictions = with_labels(predictions, read_nih_labels(label_bytes, labels_uri), labels_uri)
        evaluation = evaluate(
            predictions, replicates=settings.replicates, seed=settings.seed, synthetic=is_synthetic(uri, labels_uri)
        )
        evaluation.metrics.update(predictions=uri, labels=labels_uri)
        _write(store, evaluation)
        summary = _summary(store, evaluation.metrics)
        claimed.done(summary)
    return summary


def _read_labels(uri: str) -> bytes:
    try:
        return read_uri(uri)
    except FileNotFoundError:
        raise DataError(f"--labels {uri}: no such file") from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(store: Store, evaluation: Evaluation) -> None:
    """Writes plots and report, metrics.json last: it says that the rest is there."""
    from cxr_spark.evaluation.plots import auc_bars, roc_curves
    from cxr_spark.evaluation.report import render

    metrics = evaluation.metrics
    roc, auc = io.BytesIO(), io.BytesIO()
    roc_curves(evaluation.curves, metrics["macro"]["auc"], evaluation.micro, roc)
    auc_bars(metrics["findings"], metrics["macro"], metrics["micro"], auc)
    created = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    page = render(metrics, roc_png=roc.getvalue(), auc_png=auc.getvalue(), created=created)
    store.write_bytes("roc.png", roc.getvalue())
    store.write_bytes("auc.png", auc.getvalue())
    store.write_bytes("report.html", page.encode())
    store.write_json("metrics.json", metrics)
    for warning in metrics["warnings"]:
        log.warning("%s", warning)


def _summary(store: Store, metrics: dict[str, Any]) -> dict[str, object]:
    return {
        "report": store.uri_of("report.html"),
        "macro_auc": metrics["macro"]["auc"],
        "macro_auc_ci95": metrics["macro"]["auc_ci95"],
        "micro_auc": metrics["micro"]["auc"],
        "findings_used": metrics["macro"]["findings_used"],
        "n_images": metrics["n_images"],
        "n_patients": metrics["n_patients"],
        "model_id": metrics["model_id"],
    }
