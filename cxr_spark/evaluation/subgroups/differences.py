"""Adds to the numbers of each subgroup how far it is from the rest, with interval and corrected p-value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cxr_spark.evaluation.counting.pairs import Subgroup
from cxr_spark.evaluation.image_sets.base import ImageSet
from cxr_spark.evaluation.reading.groupings import CROSSINGS
from cxr_spark.evaluation.report.metrics import FEW_POSITIVES
from cxr_spark.evaluation.significance import holm, normal_p
from cxr_spark.evaluation.subgroups.counting import DIFFERENCES, MEAN, GroupMeasurer

#: A subgroup is flagged where its corrected p-value is below this.
LEVEL = 0.05
#: Half the width of a 95 % interval in standard errors.
_WIDTH = 1.959964
Groups = dict[str, dict[str, dict[str, Any]]]


def add_differences(
    numbers: Groups,
    evaluated: ImageSet,
    subgroups: Sequence[Subgroup],
    findings: Sequence[str],
    thresholds: Sequence[float | None],
) -> None:
    """Measures every subgroup against all other images, and adds what was found to its numbers.

    All images go through one call: with 15 findings about 300 bytes for each.

    Args:
        numbers: what `metrics.of_subgroup` returned, by grouping and value; those of crossings are made here. Each gets
            `macro_auc_difference` and `false_negative_rate` with `..._difference`, each difference with `..._ci95`,
            `..._p` and `..._p_holm`, and `flagged` and `few`; so does each of its findings, with `auc_difference`.
        evaluated: checked images, all with labels.
        subgroups: the subgroups that are in `numbers`.
        findings: the names of the findings.
        thresholds: the threshold of each finding; None: no false-negative rate.
    """
    if not subgroups:
        return
    measurer = GroupMeasurer(tuple(subgroups), [math.nan if value is None else value for value in thresholds])
    rows = evaluated.together(measurer, DIFFERENCES)
    by_place = {(row["group"], row["finding"]): row for row in rows}
    whole, single = [], []
    for group in subgroups:
        rows_of_group = [by_place[group.number, place] for place in range(len(findings))]
        if group.grouping in CROSSINGS:
            made = _crossing(group, dict(zip(findings, rows_of_group, strict=True)), by_place[group.number, MEAN])
            numbers.setdefault(group.grouping, {})[group.value] = made
        found = numbers[group.grouping][group.value]
        found.update(_numbers(by_place[group.number, MEAN], "macro_auc_difference"))
        enough = [row for row in found["findings"].values() if not _few(row)]
        found["few"] = 2 * len(enough) < len(findings)
        whole.append(found)
        for name, counted in zip(findings, rows_of_group, strict=True):
            row = found["findings"][name]
            row.update(_numbers(counted, "auc_difference"), few=_few(row))
            single.append(row)
    for key, rows_of_key in (("macro_auc_difference", whole), ("auc_difference", single)):
        _correct(rows_of_key, key)


def _crossing(group: Subgroup, rows: Mapping[str, Mapping[str, Any]], mean: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the numbers of a crossing, in the shape of `metrics.of_subgroup`; its interval is from the variance."""
    auc, variance = mean["auc_inside"], mean["auc_variance_inside"]
    return {
        "n_images": group.n_images,
        "macro_auc": auc,
        "macro_auc_ci95": None if auc is None else _interval(auc, variance, 0.0, 1.0),
        "findings_used": sum(row["auc_inside"] is not None for row in rows.values()),
        "findings": {
            name: {"auc": row["auc_inside"], "n_positive": row["n_positive"], "n_negative": row["n_negative"]}
            for name, row in rows.items()
        },
    }


def _interval(value: float, variance: float, lowest: float, highest: float) -> list[float]:
    half = _WIDTH * math.sqrt(variance)
    return [max(value - half, lowest), min(value + half, highest)]


def _numbers(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    rate = "false_negative_rate"
    return {
        **_difference(key, row["auc_inside"], row["auc_outside"], row["auc_variance"]),
        rate: row["missed_inside"],
        **_difference(f"{rate}_difference", row["missed_inside"], row["missed_outside"], row["missed_variance"]),
    }


def _difference(key: str, inside: float | None, outside: float | None, variance: float | None) -> dict[str, Any]:
    if inside is None or outside is None or variance is None:
        return dict.fromkeys((key, f"{key}_ci95", f"{key}_p"))
    away = inside - outside
    return {key: away, f"{key}_ci95": _interval(away, variance, -1.0, 1.0), f"{key}_p": normal_p(away, variance)}


def _few(row: Mapping[str, Any]) -> bool:
    return bool(min(row["n_positive"], row["n_negative"]) < FEW_POSITIVES)


def _correct(rows: Sequence[dict[str, Any]], key: str) -> None:
    """Corrects the p-values of both differences for the number of groups, and flags what stays below the level."""
    for name in (key, "false_negative_rate_difference"):
        for row, p_value in zip(rows, holm([row[f"{name}_p"] for row in rows]), strict=True):
            row[f"{name}_p_holm"] = p_value
    for row in rows:
        corrected: Iterable[float | None] = (row[f"{key}_p_holm"], row["false_negative_rate_difference_p_holm"])
        row["flagged"] = not row["few"] and any(p is not None and p < LEVEL for p in corrected)
