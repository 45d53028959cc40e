"""AUCs with intervals, precision, recall, F1, plots and a report from predictions: of score, or of any other tool."""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cxr_spark.config import EvaluateSettings
from cxr_spark.outputs.claim import claim
from cxr_spark.outputs.overlap import config_inputs, refuse_overlap
from cxr_spark.runtime.application import Application
from cxr_spark.storage.store import Store

if TYPE_CHECKING:
    from cxr_spark.evaluation.computation import Evaluation

HELP = "AUCs with intervals, precision, recall and F1, plots and a report from predictions"

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
        help="output of the score job; or a table (Parquet, or text such as CSV) with `Image Index` and `prob_FINDING` "
        "columns",
    )
    add("--out", required=True, metavar="URI", help="folder of metrics.json, the plots and report.html")
    add(
        "--labels",
        metavar="URI",
        action="append",
        help="label file, gzipped or not, for predictions that carry no labels; repeatable; for class folders the "
        "folder above them",
    )
    add("--dataset", help="whose labels these are: nih, chexpert, rsna or folder (default: prepare.dataset, nih)")
    add("--baseline", metavar="URI", help="predictions of another model for the same images, to compare with")
    add("--split", help="evaluate the images of this split: train, val, test or all (default: all)")
    add("--task", help="multi_label, single_label (the most probable class) or auto (default: what the model is)")
    add("--index-column", metavar="NAME", help="the column of another tool's predictions that names the images")
    add("--prob-prefix", metavar="TEXT", help="what comes before the finding in the names of columns (default: prob_)")
    add(
        "--logits",
        dest="scores",
        action="store_const",
        const="logits",
        help="the numbers in another tool's predictions are logits, not probabilities",
    )
    add("--replicates", metavar="N", help="bootstrap replicates of the intervals; 0: none (default: 1000)")
    add("--seed", metavar="N", help="seed of the bootstrap (default: 42)")


def run(args: argparse.Namespace) -> dict[str, object]:
    """Writes OUT/metrics.json, roc.png, auc.png, confusion_matrix.png and report.html."""
    from cxr_spark.datasets.registry import dataset_named
    from cxr_spark.evaluation.computation import evaluate
    from cxr_spark.evaluation.reading.columns import Layout
    from cxr_spark.evaluation.reading.predictions import read_predictions, with_labels
    from cxr_spark.evaluation.reading.truth import Naming, read_truth
    from cxr_spark.reporting.provenance import is_synthetic

    changes = {f"evaluate.{name}": getattr(args, name) for name in EvaluateSettings.model_fields}
    whole = args.settings.updated({**changes, "prepare.dataset": args.dataset})
    settings: EvaluateSettings = whole.evaluate
    application = Application("cxr-spark evaluate", args.master, {**_CONF, **args.spark_conf})
    uri = application.resolve_shared(args.predictions, "--predictions")
    baseline = application.resolve_shared(settings.baseline, "--baseline") if settings.baseline else None
    store = Store(application.resolve_shared(args.out, "--out"))
    label_uris = [application.resolve(path) for path in args.labels or ()]
    inputs: dict[str, Sequence[str | None]] = {
        "--predictions": [uri],
        "--labels": label_uris,
        "--baseline": [baseline],
        "--config": config_inputs(args.config),
    }
    refuse_overlap(store.uri, inputs, application.hadoop_settings)

    dataset = dataset_named(whole.prepare.dataset)
    truth, truth_digest = read_truth(dataset, label_uris, whole.prepare.uncertain) if label_uris else (None, None)
    fingerprint = {
        **settings.model_dump(mode="json", exclude={"baseline"}),
        "predictions": uri,
        "prediction_files": _digest_of_files(uri),
        "dataset": dataset.name if truth else None,
        "labels": truth_digest,
        "baseline": baseline,
        "baseline_files": _digest_of_files(baseline) if baseline else None,
    }
    with claim(store, "evaluate", fingerprint, args.overwrite) as claimed:
        args.status_uri = store.uri
        if claimed.finished is not None:
            return claimed.finished
        layout = Layout(settings.index_column, settings.prob_prefix, settings.scores == "logits")
        known = truth.findings if truth is not None else None
        task = None if settings.task == "auto" else settings.task
        predictions = read_predictions(application.spark, uri, layout=layout, vocabulary=known, task=task)
        if truth is not None:
            predictions = with_labels(predictions, truth, ", ".join(label_uris), Naming(dataset.name))
        evaluation = evaluate(
            predictions,
            replicates=settings.replicates,
            seed=settings.seed,
            split=None if settings.split == "all" else settings.split,
            task=task,
            baseline=read_predictions(
                application.spark, baseline, layout=layout, vocabulary=predictions.findings, task=task
            )
            if baseline
            else None,
            synthetic=is_synthetic(uri, label_uris),
        )
        labels = label_uris[0] if len(label_uris) == 1 else label_uris or None
        evaluation.metrics.update(predictions=uri, labels=labels)
        _write(store, evaluation)
        summary = _summary(store, evaluation.metrics)
        claimed.done(summary)
    return summary


def _digest_of_files(uri: str) -> str:
    from cxr_spark.evaluation.reading.tables import data_files

    listed = "".join(f"{file.uri}\0{file.size}\0{file.modified}\n" for file in data_files(uri))
    return hashlib.sha256(listed.encode()).hexdigest()


def _write(store: Store, evaluation: Evaluation) -> None:
    """Writes plots and report, metrics.json last: it says that the rest is there."""
    from cxr_spark.evaluation.report.confusion import draw_decisions
    from cxr_spark.evaluation.report.page import render
    from cxr_spark.evaluation.report.plots import auc_bars, roc_curves

    metrics = evaluation.metrics
    pictures = {name: io.BytesIO() for name in ("roc", "auc", "confusion_matrix")}
    roc_curves(evaluation.curves, metrics["macro"]["auc"], evaluation.micro, pictures["roc"])
    auc_bars(metrics["findings"], metrics["macro"], metrics["micro"], pictures["auc"])
    draw_decisions(metrics["classification"], pictures["confusion_matrix"])
    contents = {name: picture.getvalue() for name, picture in pictures.items()}
    created = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    page = render(metrics, pictures=contents, created=created)
    for name, content in contents.items():
        store.write_bytes(f"{name}.png", content)
    store.write_bytes("report.html", page.encode())
    store.write_json("metrics.json", metrics)
    for warning in metrics["warnings"]:
        log.warning("%s", warning)


def _summary(store: Store, metrics: dict[str, Any]) -> dict[str, object]:
    rule, report = list(metrics["classification"].items())[-1]
    comparison = metrics["comparison"]
    difference = {"macro_auc_difference": comparison["macro"]["auc_difference"]} if comparison else {}
    return {
        "report": store.uri_of("report.html"),
        "macro_auc": metrics["macro"]["auc"],
        "macro_auc_ci95": metrics["macro"]["auc_ci95"],
        "micro_auc": metrics["micro"]["auc"],
        "findings_used": metrics["macro"]["findings_used"],
        "macro_f1": report["macro"]["f1"],
        "f1_rule": rule,
        **difference,
        **{f"macro_auc_{name}": split["macro_auc"] for name, split in metrics["splits"].items()},
        "n_images": metrics["n_images"],
        "n_patients": metrics["n_patients"],
        "model_id": metrics["model_id"],
    }
