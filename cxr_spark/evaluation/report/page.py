"""Renders the page that shows an evaluation: one HTML file that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from cxr_spark.evaluation.decisions.classification import RULES
from cxr_spark.reporting.page import count, environment, shown_width


def render(metrics: Mapping[str, Any], *, pictures: Mapping[str, bytes], created: str) -> str:
    """Renders the report. Every value in it is escaped.

    Args:
        metrics: the content of metrics.json.
        pictures: the plots `roc`, `auc` and `confusion_matrix` as PNG files.
        created: the time of the evaluation, for the reader.

    Returns:
        The page as HTML.
    """
    return (
        environment("cxr_spark.evaluation.report")
        .get_template("report.html.j2")
        .render(
            title="Chest X-ray evaluation" + (" (synthetic images)" if metrics["synthetic"] else ""),
            facts=_facts(metrics, created),
            findings=metrics["findings"],
            macro=metrics["macro"],
            micro=metrics["micro"],
            subgroups=metrics["subgroups"],
            bootstrap=metrics["bootstrap"],
            warnings=metrics["warnings"],
            classification=metrics["classification"],
            rules=RULES,
            splits=metrics["splits"],
            comparison=metrics["comparison"],
            confusion_width=shown_width(pictures["confusion_matrix"]),
            pictures={name: base64.b64encode(content).decode() for name, content in pictures.items()},
            footer=", ".join(f"{name} {version}" for name, version in metrics["versions"].items()),
        )
    )


def _facts(metrics: Mapping[str, Any], created: str) -> list[tuple[str, str]]:
    patients, splits = metrics["n_patients"], metrics["images_by_split"]
    by_split = ", ".join(f"{name} ({n:,})" for name, n in splits.items())
    facts = [
        ("Model", metrics["model_id"] or "not named in the predictions"),
        ("Images", count(metrics["n_images"])),
        ("Patients", "not known" if patients is None else count(patients)),
        ("Split", (by_split if len(splits) > 1 else metrics["split"]) or "not named in the predictions"),
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
