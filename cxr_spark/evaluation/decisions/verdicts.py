"""Decides which findings images have, and reports how often the decisions are right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.decisions.classification import (
    HALF,
    MOST_PROBABLE,
    Report,
    report_of_classes,
    report_of_findings,
)
from cxr_spark.evaluation.decisions.classification import VALIDATION as CHOSEN
from cxr_spark.evaluation.decisions.counts import TALLIES, Counter, Tally
from cxr_spark.evaluation.decisions.operating_points import thresholds_by_rule
from cxr_spark.evaluation.image_sets.base import ImageSet


def reports_of(
    evaluated: ImageSet, findings: Sequence[str], *, task: str, held_out: Sequence[Curve | None] | None
) -> dict[str, Report]:
    """Decides on images and reports how often the decisions are right.

    Args:
        evaluated: checked images, all with labels.
        findings: the names of the findings, in the order of labels and scores.
        task: `multi_label` or `single_label`.
        held_out: the curve of each finding on the validation images; None where there are none.

    Returns:
        The reports by rule. A `single_label` task has the rule `most_probable`. A `multi_label` task has the rule `0.5`
        and, where there are validation images, the rule `validation`: the thresholds with the largest F1 on those.
    """
    if task == "single_label":
        tally = _count(evaluated, np.full((1, len(findings)), 0.5))
        return {MOST_PROBABLE: report_of_classes(findings, tally.confusion)}
    chosen = None if held_out is None else thresholds_by_rule(held_out)["f1"]
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


def _count(images: ImageSet, thresholds: NDArray[np.float64]) -> Tally:
    total = Tally.zero(*thresholds.shape)
    for row in images.each(Counter(thresholds), TALLIES):
        total = total.add_bytes(row["tally"])
    return total
