"""Compares two models on the same images: AUC and F1 of each, and the differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.datasets.findings import NO_FINDING
from cxr_spark.errors import DataError
from cxr_spark.evaluation.counting.auc import mean_of_defined
from cxr_spark.evaluation.counting.bootstrap import percentile_interval
from cxr_spark.evaluation.counting.distributed import curves_of
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.decisions.classification import Report
from cxr_spark.evaluation.decisions.validation import held_out_images, validation_curves
from cxr_spark.evaluation.decisions.verdicts import reports_of
from cxr_spark.evaluation.image_sets.base import ImageSet
from cxr_spark.evaluation.image_sets.checks import check_rows
from cxr_spark.evaluation.paired.findings import measure
from cxr_spark.evaluation.reading.predictions import Predictions
from cxr_spark.evaluation.report import metrics
from cxr_spark.evaluation.report.plots import RocCurve, roc_curve
from cxr_spark.evaluation.significance import bootstrap_p, holm, normal_p


@dataclass(frozen=True)
class Comparison:
    """How to compare two models. The attributes are the arguments of `computation.evaluate` of the same names."""

    task: str
    split: str | None
    replicates: int
    seed: int


@dataclass(frozen=True)
class Compared:
    """A comparison.

    Attributes:
        metrics: the part `comparison` of metrics.json.
        curves: the ROC curve of the model and that of the baseline, for each finding with both classes.
    """

    metrics: dict[str, Any]
    curves: list[tuple[RocCurve, RocCurve]]


@dataclass(frozen=True)
class _Model:
    """The curves and reports of one of the two models, by finding."""

    curves: Mapping[str, Curve]
    reports: Mapping[str, Report]


def compare(
    labelled: ImageSet, findings: Sequence[str], baseline: Predictions, of_baseline: ImageSet, how: Comparison
) -> Compared:
    """Compares predictions with a baseline.

    Both are measured on the images and findings that both have, with the labels of the first. A replicate of the
    bootstrap draws the same patients for both, so the interval of a difference is a paired one.

    Args:
        labelled: checked images of any split, all with labels.
        findings: the names of the findings, in the order of labels and scores.
        baseline: the other predictions; their labels are not used.
        of_baseline: the images of the baseline, held where the others are.
        how: the task, the split and the bootstrap.

    Returns:
        Counts and, for each finding, for the mean of all and for that without `No Finding`, AUC, F1 and the differences
        from the baseline, with intervals and p-values: of the bootstrap over patients and of DeLong's test, each also
        corrected for the number of findings by Holm's procedure; and the images on which the models disagree most.

    Raises:
        DataError: the baseline is faulty, or has no images or findings in common with the predictions.
    """
    common = _common(findings, baseline, how.task)
    with closing(of_baseline.kept()) as other:
        model_id = check_rows(other, baseline.source)
        places, other_places = ([names.index(name) for name in common] for names in (findings, baseline.findings))
        with closing(labelled.paired_with(other, places, other_places).kept()) as paired:
            n_images = labelled.of_split(how.split).count()
            tested = paired.of_split(how.split)
            n_common = tested.count()
            if n_common == 0:
                raise DataError(f"{baseline.source} has none of the {n_images} evaluated images: score the same images")
            model = _measured(paired, common, n_common, how)
            before = _measured(paired.with_baseline_scores(), common, n_common, how)
            measured = measure(tested, n_images=n_common, n_findings=len(common))
    rule = list(model.reports)[-1]
    by_finding = {name: _difference(name, model, before, rule) for name in common}
    _add_p_values(by_finding, {common[row["finding"]]: row["variance"] for row in measured})
    others = {name: row for name, row in by_finding.items() if name != NO_FINDING}
    numbers = {
        "baseline": {"predictions": baseline.source, "model_id": model_id},
        "n_images": n_common,
        "images_not_in_baseline": n_images - n_common,
        "f1_rule": rule,
        "findings": by_finding,
        "macro": _macro(by_finding, model, before),
        "macro_without_no_finding": _macro(others, model, before) if 0 < len(others) < len(by_finding) else None,
        "disagreements": {common[row["finding"]]: _disagreements(row) for row in measured},
    }
    return Compared(numbers, _drawn(common, model, before))


def _common(findings: Sequence[str], baseline: Predictions, task: str) -> list[str]:
    common = [name for name in findings if name in baseline.findings]
    if not common or (task == "single_label" and set(findings) != set(baseline.findings)):
        wanted = "a finding of these" if task == "multi_label" else "the same classes"
        raise DataError(
            f"{baseline.source} has the findings {', '.join(baseline.findings)}: expected {wanted}: "
            f"{', '.join(findings)}"
        )
    return common


def _measured(images: ImageSet, findings: Sequence[str], n_images: int, how: Comparison) -> _Model:
    evaluated = images.of_split(how.split)
    curves = curves_of(
        evaluated,
        n_images=n_images,
        n_findings=len(findings),
        subgroups=(),
        replicates=how.replicates,
        seed=how.seed,
    )
    by_finding = {name: curves.get(number, metrics.NO_CURVE) for number, name in enumerate(findings)}
    held_out = held_out_images(images, how.split)
    chosen = None if held_out is None else validation_curves(held_out, len(findings))
    return _Model(by_finding, reports_of(evaluated, findings, task=how.task, held_out=chosen))


def _difference(name: str, model: _Model, before: _Model, rule: str) -> dict[str, Any]:
    curve, old = model.curves[name], before.curves[name]
    f1, old_f1 = (each.reports[rule]["findings"][name]["f1"] for each in (model, before))
    interval = p_value = None
    if curve.auc is not None and old.auc is not None:
        differences = curve.replicate_aucs - old.replicate_aucs
        interval, p_value = percentile_interval(differences), bootstrap_p(differences)
    return {
        "auc": curve.auc,
        "auc_baseline": old.auc,
        "auc_difference": None if curve.auc is None or old.auc is None else curve.auc - old.auc,
        "auc_difference_ci95": interval,
        "p_bootstrap": p_value,
        "f1": f1,
        "f1_baseline": old_f1,
        "f1_difference": f1 - old_f1,
    }


def _add_p_values(by_finding: Mapping[str, dict[str, Any]], variances: Mapping[str, float | None]) -> None:
    """Adds DeLong's p-values, and the corrected ones of both tests, to the rows of `_difference`."""
    for name, row in by_finding.items():
        difference, variance = row["auc_difference"], variances.get(name)
        row["p_delong"] = None if difference is None or variance is None else normal_p(difference, variance)
    for test in ("p_bootstrap", "p_delong"):
        corrected = holm([row[test] for row in by_finding.values()])
        for row, p_value in zip(by_finding.values(), corrected, strict=True):
            row[f"{test}_holm"] = p_value


def _disagreements(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = (row["images"], row["labels"], row["scores"], row["baselines"])
    return [
        {"image_index": image, "label": int(label), "probability": score, "probability_baseline": before}
        for image, label, score, before in zip(*columns, strict=True)
    ]


def _drawn(names: Sequence[str], model: _Model, before: _Model) -> list[tuple[RocCurve, RocCurve]]:
    pairs = [(roc_curve(name, model.curves[name]), roc_curve(name, before.curves[name])) for name in names]
    return [(one, other) for one, other in pairs if one is not None and other is not None]


def _macro(by_finding: Mapping[str, Mapping[str, Any]], model: _Model, before: _Model) -> dict[str, Any]:
    means: dict[str, Any] = {
        key: mean_of_defined([row[key] for row in by_finding.values()])
        for key in ("auc", "auc_baseline", "auc_difference", "f1", "f1_baseline", "f1_difference")
    }
    used = [name for name, row in by_finding.items() if row["auc_difference"] is not None]
    differences: list[NDArray[np.float64]] = [
        metrics.mean_replicates([each.curves[name].replicate_aucs for name in used]) for each in (model, before)
    ]
    away = differences[0] - differences[1]
    return {**means, "auc_difference_ci95": percentile_interval(away), "p_bootstrap": bootstrap_p(away)}
