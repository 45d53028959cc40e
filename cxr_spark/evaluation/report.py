"""The page that shows an evaluation: one HTML file that needs nothing else, on or off line."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_NONE = "none"


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
    environment = Environment(
        loader=PackageLoader("cxr_spark.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {
        "three": _three,
        "interval": _interval,
        "percent": _percent,
        "count": _count,
        "words": _words,
    }
    return environment.get_template("report.html.j2").render(
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


def _facts(metrics: Mapping[str, Any], created: str) -> list[tuple[str, str]]:
    patients, splits = metrics["n_patients"], metrics["images_by_split"]
    by_split = ", ".join(f"{name} ({n:,})" for name, n in splits.items())
    facts = [
        ("Model", metrics["model_id"] or "not named in the predictions"),
        ("Images", _count(metrics["n_images"])),
        ("Patients", "not known" if patients is None else _count(patients)),
        ("Split", (by_split if len(splits) > 1 else metrics["split"]) or "not named in the predictions"),
        ("Predictions", metrics.get("predictions")),
        ("Labels", metrics.get("labels")),
        ("Made", created),
    ]
    return [(name, str(value)) for name, value in facts if value is not None]


def _three(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return _NONE if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{100 * value:.1f} %"


def _count(value: int) -> str:
    return f"{value:,}"


def _words(name: str) -> str:
    return name.replace("_", " ")
