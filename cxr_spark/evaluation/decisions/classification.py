"""Precision, recall and F1 of decisions, by class and over all classes, as scikit-learn's report defines them.

Source: scikit-learn's user guide, "Precision, recall and F-measures". A ratio whose denominator is 0 is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The names of the rules that decide which findings an image is called to have.
HALF, VALIDATION, MOST_PROBABLE = "0.5", "validation", "most_probable"
#: Each rule in words, which follow "Precision, recall, F1".
RULES: Mapping[str, str] = MappingProxyType(
    {
        HALF: "at threshold 0.5",
        VALIDATION: "at thresholds chosen on the validation images",
        MOST_PROBABLE: "of the most probable class",
    }
)
_SHARES = ("precision", "recall", "f1")
Report = dict[str, Any]


def report_of_findings(
    findings: Sequence[str], counts: NDArray[np.int64], thresholds: Sequence[float], unchosen: Sequence[str] = ()
) -> Report:
    """Reports decisions on each finding by itself.

    Args:
        findings: the names of the findings.
        counts: int64 of shape (findings, 4): true positives, false positives, false negatives, true negatives.
        thresholds: the threshold of each finding.
        unchosen: the findings whose threshold could not be chosen.

    Returns:
        `findings`: for each its threshold, precision, recall, F1, support (images that have it) and the counts;
        `micro` (counts pooled), `macro` (mean) and `weighted` (mean weighted by support). A single finding and its
        absence are reported as two classes, as `report_of_classes` does.
    """
    if len(findings) == 1:
        (true, false, missed, absent), name = counts[0].tolist(), findings[0]
        report = report_of_classes([f"no {name}", name], np.array([[absent, false], [missed, true]]))
        for row in report["findings"].values():
            row["threshold"] = thresholds[0]
        return {**report, "threshold_not_chosen": list(unchosen)}
    by_finding: dict[str, Any] = {}
    for name, row, threshold in zip(findings, counts.tolist(), thresholds, strict=True):
        named = ("true_positives", "false_positives", "false_negatives", "true_negatives")
        by_finding[name] = {"threshold": threshold, **_shares(*row[:3]), **dict(zip(named, row, strict=True))}
    true, false, missed, _ = counts.sum(axis=0).tolist()
    return {
        "findings": by_finding,
        "micro": _shares(true, false, missed),
        **_averages(by_finding),
        "threshold_not_chosen": list(unchosen),
    }


def report_of_classes(classes: Sequence[str], confusion: NDArray[np.int64]) -> Report:
    """Reports decisions for one of several classes.

    Args:
        classes: the names of the classes.
        confusion: int64 of shape (classes, classes): the images of each class (row) by the class
            that they were taken for (column).

    Returns:
        `findings`: for each class precision, recall, F1 and support; `accuracy`, `macro`, `weighted`,
        `confusion_matrix`.
    """
    right, predicted, actual = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    by_class = {
        name: _shares(int(right[i]), int(predicted[i] - right[i]), int(actual[i] - right[i]))
        for i, name in enumerate(classes)
    }
    return {
        "findings": by_class,
        "accuracy": _ratio(int(right.sum()), int(confusion.sum())),
        **_averages(by_class),
        "confusion_matrix": {"classes": list(classes), "counts": confusion.tolist()},
    }


def _shares(true: int, false: int, missed: int) -> dict[str, Any]:
    return {
        "precision": _ratio(true, true + false),
        "recall": _ratio(true, true + missed),
        "f1": _ratio(2 * true, 2 * true + false + missed),
        "support": true + missed,
    }


def _averages(by_finding: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = list(by_finding.values())
    support = np.array([row["support"] for row in rows], dtype=np.float64)
    total = int(support.sum())
    values = {name: np.array([row[name] for row in rows]) for name in _SHARES}
    weighted = {name: float(v @ support) / total if total else 0.0 for name, v in values.items()}
    return {
        "macro": {**{name: float(v.mean()) for name, v in values.items()}, "support": total},
        "weighted": {**weighted, "support": total},
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
