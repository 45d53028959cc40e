"""Decides which findings images have, and reports how often the decisions are right. Spark counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cxr_spark.evaluation.counting.distributed import curves_of
from cxr_spark.evaluation.decisions.classification import (
    HALF,
    MOST_PROBABLE,
    Report,
    report_of_classes,
    report_of_findings,
)
from cxr_spark.evaluation.decisions.classification import VALIDATION as CHOSEN
from cxr_spark.evaluation.decisions.counts import TALLIES, Counter, Tally
from cxr_spark.evaluation.reading.images import SPLIT
from cxr_spark.runtime.spark_schema import to_spark
from cxr_spark.tables.schema import VALIDATION

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def reports_of(labelled: DataFrame, findings: Sequence[str], *, task: str, split: str | None) -> dict[str, Report]:
    """Decides on the images of a split and reports how often the decisions are right.

    Args:
        labelled: rows of `images.IMAGES` of any split, all with labels.
        findings: the names of the findings, in the order of labels and scores.
        task: `multi_label` or `single_label`.
        split: the split that is evaluated; None for all images.

    Returns:
        The reports by rule. A `single_label` task has the rule `most_probable`. A `multi_label` task has the rule `0.5`
        and, where a split other than the validation split is evaluated and there are validation images, the rule
        `validation`: the thresholds with the largest F1 on those.
    """
    evaluated = labelled if split is None else labelled.where(labelled[SPLIT] == split)
    if task == "single_label":
        tally = _count(evaluated, np.full((1, len(findings)), 0.5))
        return {MOST_PROBABLE: report_of_classes(findings, tally.confusion)}
    chosen = None if split in (None, VALIDATION) else _chosen(labelled, len(findings))
    half = [0.5] * len(findings)
    rules = {HALF: half}
    if chosen is not None:
        rules[CHOSEN] = [0.5 if threshold is None else threshold for threshold in chosen]
    tally = _count(evaluated, np.array(list(rules.values())))
    unchosen = [name for name, threshold in zip(findings, chosen or half, strict=True) if threshold is None]
    return {
        rule: report_of_findings(findings, counts, thresholds, unchosen if rule == CHOSEN else ())
        for (rule, thresholds), counts in zip(rules.items(), tally.by_finding, strict=True)
    }


def _chosen(labelled: DataFrame, n_findings: int) -> list[float | None] | None:
    """Returns the thresholds with the largest F1 on the validation images; None where there are none."""
    held_out = labelled.where(labelled[SPLIT] == VALIDATION)
    n_images = held_out.count()
    if n_images == 0:
        return None
    curves = curves_of(held_out, n_images=n_images, n_findings=n_findings, subgroups=(), replicates=0, seed=0)
    points = [curves[number].best_f1 if number in curves else None for number in range(n_findings)]
    return [None if point is None else point.threshold for point in points]


def _count(images: DataFrame, thresholds: NDArray[np.float64]) -> Tally:
    total = Tally.zero(*thresholds.shape)
    for row in images.mapInArrow(Counter(thresholds), to_spark(TALLIES)).collect():
        total = total.add_bytes(row["tally"])
    return total
