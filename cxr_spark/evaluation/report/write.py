"""Writes an evaluation into its output folder."""

from __future__ import annotations

import io
import logging
import time

from cxr_spark.evaluation.computation import Evaluation
from cxr_spark.evaluation.report.confusion import draw_decisions
from cxr_spark.evaluation.report.page import render
from cxr_spark.evaluation.report.plots import auc_bars, roc_curves
from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)


def write(store: Store, evaluation: Evaluation) -> None:
    """Writes plots and report, metrics.json last: it says that the rest is there."""
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
