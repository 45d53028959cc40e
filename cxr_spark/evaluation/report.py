"""The page that shows an evaluation: one HTML file that needs nothing else, on or off line."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from cxr_spark.evaluation.page import count, environment


def render(metrics: Mapping[str, Any], *, roc_png: bytes, auc_png: bytes, created: str) -> str:
    """Renders the report; every value in it is escaped.

    Args:
        metrics: what metrics.json holds.
        roc_png: the plot of ROC curves.
        auc_png: the plot of AUCs.
        created: when, for the reader.

    Returns:
        The page.
    """
    return (
        environment("cxr_spark.evaluation")
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
            roc_png=base64.b64encode(roc_png).decode(),
            auc_png=base64.b64encode(auc_png).decode(),
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
        ("Labels", metrics.get("labels")),
        ("Made", created),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]
