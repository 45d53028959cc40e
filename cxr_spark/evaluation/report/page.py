"""Renders the page that shows an evaluation: one HTML file that needs no other file and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxr_spark.evaluation.calibration.methods import METHODS
from cxr_spark.evaluation.decisions.classification import RULES
from cxr_spark.evaluation.decisions.operating_points import POINTS
from cxr_spark.evaluation.report.metrics import may_share_patients
from cxr_spark.evaluation.report.mistakes import KINDS, Pictures
from cxr_spark.evaluation.report.movable import MovablePoint, as_json, places_of
from cxr_spark.evaluation.report.panels import FEW_IMAGES, ComparedPanel, Panel, reliability_panels
from cxr_spark.evaluation.report.words import engine_in_words, model_in_words
from cxr_spark.reporting.numbers import count
from cxr_spark.reporting.page import environment
from cxr_spark.reporting.tables import Table

#: The scripts of the page. The first gives the others what they share.
_SCRIPTS = ("templates/points.js", "templates/operating.js", "templates/panels.js")


def render(
    metrics: Mapping[str, Any],
    *,
    panels: Sequence[Panel],
    compared: Sequence[ComparedPanel],
    tables: Mapping[str, Table],
    created: str,
    pictures: Pictures | None = None,
    movable: Sequence[MovablePoint] = (),
) -> str:
    """Renders the report. Every value in it is escaped.

    Args:
        metrics: the content of metrics.json.
        panels: the curves to draw.
        compared: the curves of two models to draw.
        tables: the tables by name, from `tables.tables_of`.
        created: the time of the evaluation, for the reader.
        pictures: the pictures of the worst mistakes; None for a page without pictures.
        movable: the curves on which the reader picks an operating point.

    Returns:
        The page as HTML.
    """
    return (
        environment("cxr_spark.evaluation.report", *_SCRIPTS)
        .get_template("report.html.j2")
        .render(
            title="Chest X-ray evaluation" + (" (synthetic images)" if metrics["synthetic"] else ""),
            facts=_facts(metrics, created),
            findings=metrics["findings"],
            macro=metrics["macro"],
            macro_without_no_finding=metrics.get("macro_without_no_finding"),
            micro=metrics["micro"],
            subgroups=metrics["subgroups"],
            bootstrap=metrics["bootstrap"],
            warnings=metrics["warnings"],
            classification=metrics["classification"],
            rules=RULES,
            operating_points=metrics["operating_points"],
            points=POINTS,
            calibration=metrics["calibration"],
            method=METHODS[metrics["calibration"]["method"]].words,
            reliability=reliability_panels(metrics["calibration"]),
            few_images=FEW_IMAGES,
            mistakes=metrics.get("mistakes"),
            kinds=KINDS,
            pictures=pictures.by_image if pictures else {},
            overlays=pictures.overlays if pictures else None,
            splits=metrics["splits"],
            comparison=metrics["comparison"],
            published=metrics.get("published"),
            panels=panels,
            places=places_of(panels, movable),
            movable=as_json(movable) if movable else "",
            pooled=any(each.pooled for each in movable),
            compared=compared,
            tables=tables,
            footer=", ".join(f"{name} {version}" for name, version in metrics["versions"].items()),
        )
    )


def _facts(metrics: Mapping[str, Any], created: str) -> list[tuple[str, str]]:
    patients, splits = metrics["n_patients"], metrics["images_by_split"]
    doubt = "; splits may share patients" if may_share_patients(metrics) else ""
    by_split = ", ".join(f"{name} ({n:,})" for name, n in splits.items())
    facts = [
        ("Model", model_in_words(metrics)),
        ("Weights, SHA-256", metrics["model_id"].replace("+", " + ") if metrics.get("model") else None),
        ("Scored", engine_in_words(metrics)),
        ("Images", count(metrics["n_images"])),
        ("Patients", "not known" if patients is None else count(patients)),
        ("Split", ((by_split if len(splits) > 1 else metrics["split"]) or "not named in the predictions") + doubt),
        ("Predictions", metrics.get("predictions")),
        ("Labels", _listed(metrics.get("labels"))),
        ("Baseline", _baseline(metrics["comparison"])),
        ("Made", created),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def _listed(labels: str | Sequence[str] | None) -> str | None:
    return labels if labels is None or isinstance(labels, str) else ", ".join(labels)


def _baseline(comparison: Mapping[str, Any] | None) -> str | None:
    return None if comparison is None else str(comparison["baseline"]["predictions"])
