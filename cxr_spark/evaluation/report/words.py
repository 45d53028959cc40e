"""Says in words which model was evaluated, and what its means are of. No Spark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The text before each fact on a model, and the name of the fact.
_PARTS = (
    ("", "architecture"),
    ("started from ", "weights"),
    ("epoch ", "epoch"),
    ("trained on ", "data"),
    ("by ", "backend"),
    ("precision ", "precision"),
    ("input side ", "input_size"),
    ("out-of-fold scores, number of folds: ", "folds"),
)


#: The name of all pairs of image and finding together.
POOLED = "micro (pooled)"


def names_of_means(others: Mapping[str, Any] | None) -> tuple[str, str]:
    """Returns the names of the means without `No Finding` and over all findings.

    Args:
        others: the mean without `No Finding`; None where there is none, since it is no finding or the only one.
    """
    return "macro without No Finding", "macro with No Finding" if others else "macro (mean)"


def model_in_words(metrics: Mapping[str, Any]) -> str:
    """Describes the evaluated model, or the models that were averaged, in one line, as far as it is known.

    Args:
        metrics: `model` and `model_id` of metrics.json.
    """
    model = metrics.get("model") or {}
    models = model.get("models")
    if isinstance(models, list):
        known = f"average of {len(models)} models: " + "; ".join(map(_in_words, models))
    else:
        known = _in_words(model)
    return known or metrics["model_id"] or "not named in the predictions"


def engine_in_words(metrics: Mapping[str, Any]) -> str | None:
    """Says what computed the probabilities, and in which number format; None where the predictions do not tell.

    Args:
        metrics: `model` of metrics.json.
    """
    model = metrics.get("model") or {}
    engine, precision = model.get("engine"), model.get("scoring_precision")
    return f"by {engine} in {precision}" if engine and precision else None


def _in_words(model: Mapping[str, Any]) -> str:
    # `auto` is the setting by which the machine of the training chose a precision; it tells no precision.
    known = {key: value for key, value in model.items() if value is not None and (key, value) != ("precision", "auto")}
    return ", ".join(f"{before}{known[key]}" for before, key in _PARTS if key in known)
