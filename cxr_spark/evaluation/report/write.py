"""Writes an evaluation into its output folder."""

from __future__ import annotations

import io
import logging
import time

from cxr_spark.evaluation.computation import Evaluation
from cxr_spark.evaluation.report.card_text import card_as_markdown
from cxr_spark.evaluation.report.confusion import draw_decisions
from cxr_spark.evaluation.report.model_card import model_card
from cxr_spark.evaluation.report.movable import movable_points
from cxr_spark.evaluation.report.page import render
from cxr_spark.evaluation.report.panels import compared_panels, panels_of
from cxr_spark.evaluation.report.plots import auc_bars, roc_curves
from cxr_spark.evaluation.report.tables import tables_of
from cxr_spark.reporting.tables import as_csv, as_latex
from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)


def write(store: Store, evaluation: Evaluation) -> None:
    """Writes plots, tables and report, metrics.json last: it says that the rest is there."""
    metrics = evaluation.metrics
    pictures = {name: io.BytesIO() for name in ("roc", "auc", "confusion_matrix")}
    vectors = {name: io.BytesIO() for name in ("roc", "auc")}
    macro, others = metrics["macro"], metrics.get("macro_without_no_finding")
    mean = others["auc"] if others else None
    roc_curves(evaluation.curves, macro["auc"], evaluation.micro, pictures["roc"], vectors["roc"], others=mean)
    auc_bars(metrics["findings"], macro, metrics["micro"], pictures["auc"], vectors["auc"], others=others)
    draw_decisions(metrics["classification"], pictures["confusion_matrix"])
    contents = {f"{name}.png": picture.getvalue() for name, picture in pictures.items()}
    contents |= {f"{name}.svg": vector.getvalue() for name, vector in vectors.items()}
    created = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    tables = tables_of(metrics)
    panels = panels_of(evaluation.curves, evaluation.micro, metrics)
    compared = compared_panels(evaluation.compared)
    page = render(
        metrics,
        panels=panels,
        compared=compared,
        tables=tables,
        created=created,
        pictures=evaluation.pictures,
        movable=movable_points(evaluation.curves, metrics, evaluation.micro),
    )
    for name, content in contents.items():
        store.write_bytes(name, content)
    for name, table in tables.items():
        store.write_bytes(f"tables/{name}.csv", as_csv(table).encode())
        store.write_bytes(f"tables/{name}.tex", as_latex(table).encode())
    card = model_card(metrics, evaluation.prepared, created)
    store.write_json("model_card.json", card)
    store.write_bytes("model_card.md", card_as_markdown(card).encode())
    store.write_bytes("report.html", page.encode())
    store.write_json("metrics.json", metrics)
    for warning in metrics["warnings"]:
        log.warning("%s", warning)
