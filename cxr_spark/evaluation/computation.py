"""Computes an evaluation: the numbers of metrics.json, and the curves for the plots."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_spark import __version__
from cxr_spark.evaluation.calibration.measure import calibration_of
from cxr_spark.evaluation.comparison import Comparison, compare
from cxr_spark.evaluation.counting.distributed import curves_of
from cxr_spark.evaluation.counting.pairs import MICRO, Subgroup, first_curve
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.decisions.classification import Report
from cxr_spark.evaluation.decisions.mistakes import worst_mistakes
from cxr_spark.evaluation.decisions.operating_points import operating_points
from cxr_spark.evaluation.decisions.validation import held_out_images, validation_curves
from cxr_spark.evaluation.decisions.verdicts import reports_of
from cxr_spark.evaluation.image_sets.checks import Inventory, check_rows, take_inventory
from cxr_spark.evaluation.image_sets.opening import MOST_PAIRS, open_images
from cxr_spark.evaluation.reading.groupings import CROSSINGS, SPLIT
from cxr_spark.evaluation.reading.predictions import TASKS, Predictions
from cxr_spark.evaluation.report import metrics
from cxr_spark.evaluation.report.mistakes import Pictures
from cxr_spark.evaluation.report.plots import RocCurve, roc_curve
from cxr_spark.evaluation.subgroups.differences import add_differences
from cxr_spark.evaluation.subgroups.values import values_of
from cxr_spark.tables.schema import SPLITS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """The numbers and curves of an evaluation.

    Attributes:
        metrics: the content of metrics.json, JSON values only.
        curves: the ROC curves of the findings that have both classes.
        micro: the ROC curve of all (image, finding) pairs; None where they are of one class.
        compared: the ROC curves of both models, where there is a baseline.
        prepared: what is known of the prepared data, see `Provenance.prepared`.
        pictures: the pictures of the worst mistakes; None where neither prepared data nor maps were given.
    """

    metrics: dict[str, Any]
    curves: list[RocCurve]
    micro: RocCurve | None
    compared: list[tuple[RocCurve, RocCurve]]
    prepared: dict[str, Any] = field(default_factory=dict)
    pictures: Pictures | None = None


def evaluate(
    predictions: Predictions,
    session: Callable[[], SparkSession],
    *,
    replicates: int,
    seed: int,
    split: str | None = None,
    task: str | None = None,
    calibration: str = "temperature",
    lists: Mapping[str, str] | None = None,
    baseline: Predictions | None = None,
    synthetic: bool = False,
    partitions: int | None = None,
    most_pairs: int = MOST_PAIRS,
) -> Evaluation:
    """Checks and evaluates predictions.

    Args:
        predictions: the predictions, with labels.
        session: gives the Spark session; it is called only where the predictions are many.
        replicates: the number of bootstrap replicates over patients; with 0 there are no intervals.
        seed: the seed of the bootstrap.
        split: the split whose images are evaluated; None for all images. The AUCs of the other splits are given beside
            it, and thresholds are chosen on `val` where there is one.
        task: one of `TASKS`; None for the task that the predictions name, or `multi_label` where they name none.
        calibration: how probabilities are calibrated on the validation images, one of `calibration.methods.METHODS`.
        lists: the URI of the list that gave the images of each split their split, where lists did.
        baseline: predictions of another model for the same images, to compare with. Its labels are not used.
        synthetic: whether the images are known to be synthetic.
        partitions: the number of ranges that the scores are sorted into; None to choose it by the number of scores. It
            changes no number of the result.
        most_pairs: the number of pairs of image and finding up to which the driver measures without Spark. It changes
            no number of the result either.

    Raises:
        DataError: the predictions are faulty or have no labels.
    """
    started = time.monotonic()
    findings, truth = predictions.findings, predictions.truth
    task = task or predictions.task or TASKS[0]
    every = [predictions] if baseline is None else [predictions, replace(baseline, truth=None)]
    opened, *of_baseline = open_images(every, session, most_pairs=most_pairs)
    with closing(opened.kept()) as images:
        model_id = check_rows(images, predictions.source)
        inventory = take_inventory(images, predictions.source, split, truth)
        labelled = images.labelled()
        subgroups, splits = values_of(labelled, split)
        curves = curves_of(
            labelled,
            n_images=inventory.n_labelled,
            n_findings=len(findings),
            subgroups=[group for group in subgroups if group.grouping not in CROSSINGS],
            replicates=replicates,
            seed=seed,
            split=split,
            partitions=partitions,
        )
        evaluated = labelled.of_split(split)
        held_out = held_out_images(labelled, split)
        chosen = None if held_out is None else validation_curves(held_out, len(findings))
        reports = reports_of(evaluated, findings, task=task, held_out=chosen)
        thresholds = _thresholds(reports, findings)
        mistakes = worst_mistakes(evaluated, findings, list(reports)[-1], thresholds)
        points = None
        if chosen is not None:
            points = operating_points(evaluated, chosen, findings, replicates=replicates, seed=seed)
        calibrated = calibration_of(
            evaluated, None if held_out is None else held_out.images, findings, method=calibration
        )
        groups = _groups(curves, findings, subgroups)
        compared = [group for group in subgroups if group.grouping != SPLIT]
        add_differences(groups, evaluated, compared, findings, thresholds)
        comparison = None
        if baseline is not None:
            how = Comparison(task=task, split=split, replicates=replicates, seed=seed)
            comparison = compare(labelled, findings, baseline, of_baseline[0], how)
        crossing = labelled.patients_in_several_splits() if len(splits) > 1 else 0

    by_finding, pooled = _in_group(curves, findings, 0), curves.get(MICRO, metrics.NO_CURVE)
    by_split = {split: splits[split]} if split is not None else splits
    result: dict[str, Any] = {
        "task": task,
        "findings_called": dict(predictions.called),
        "findings_without_labels": list(predictions.unlabelled),
        "findings": {name: metrics.of_finding(curve) for name, curve in by_finding.items()},
        "macro": metrics.macro(by_finding),
        "macro_without_no_finding": metrics.macro_without_no_finding(by_finding),
        "micro": metrics.micro(pooled),
        "classification": reports,
        "operating_points": points,
        "calibration": calibrated,
        "mistakes": mistakes,
        "splits": _in_order(groups.pop(SPLIT, {})),
        "subgroups": {name: group for name, group in groups.items() if name not in CROSSINGS},
        "subgroup_crossings": {name: group for name, group in groups.items() if name in CROSSINGS},
        "comparison": None if comparison is None else comparison.metrics,
        "n_images": inventory.n_images,
        "n_patients": inventory.n_patients,
        "n_images_without_patient": inventory.n_without_patient,
        "n_patients_in_several_splits": crossing,
        "split": "+".join(by_split) or None,
        "images_by_split": by_split,
        "images_of_other_splits": {name: n for name, n in splits.items() if name not in by_split},
        "lists": dict(lists or {}),
        "model_id": model_id,
        "unmatched": _unmatched(inventory, None if truth is None else truth.facts.num_rows),
        "matched_otherwise": inventory.matched,
        "probabilities_clipped": inventory.n_clipped,
        "bootstrap": {"replicates": replicates, "seed": seed, "unit": "patient", "method": "Poisson, percentile"},
        "synthetic": synthetic,
        "versions": _versions(images.spark_version),
    }
    result["splits_may_share_patients"] = metrics.may_share_patients(result)
    of_labels = truth.warnings if truth is not None else ()
    result["warnings"] = [*of_labels, *inventory.warnings(), *metrics.warnings_of(result)]
    drawn = [roc_curve(name, curve) for name, curve in by_finding.items()]
    log.info(
        "evaluated %d images of %d findings in %.1f s", inventory.n_images, len(findings), time.monotonic() - started
    )
    return Evaluation(
        result,
        [curve for curve in drawn if curve is not None],
        roc_curve("micro", pooled),
        [] if comparison is None else comparison.curves,
    )


def _in_group(curves: Mapping[int, Curve], findings: tuple[str, ...], group: int) -> dict[str, Curve]:
    numbered = enumerate(findings, start=first_curve(group, len(findings)))
    return {name: curves.get(number, metrics.NO_CURVE) for number, name in numbered}


def _groups(
    curves: Mapping[int, Curve], findings: tuple[str, ...], subgroups: list[Subgroup]
) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for group in (group for group in subgroups if group.grouping not in CROSSINGS):
        numbers = metrics.of_subgroup(_in_group(curves, findings, group.number), group.n_images)
        groups.setdefault(group.grouping, {})[group.value] = numbers
    return groups


def _thresholds(reports: Mapping[str, Report], findings: Sequence[str]) -> list[float | None]:
    """Returns the thresholds of the last rule; None where decisions are not made by thresholds."""
    rows = list(reports.values())[-1]["findings"]
    return [rows[name].get("threshold") for name in findings]


def _in_order(splits: Mapping[str, Any]) -> dict[str, Any]:
    """Sorts splits: train, val and test first, other names after them."""
    return {name: splits[name] for name in sorted(splits, key=lambda n: (*SPLITS, n).index(n))}


def _unmatched(inventory: Inventory, labels: int | None) -> dict[str, int | None]:
    return {
        "predictions_without_label": inventory.n_unlabelled,
        "labels_without_prediction": None if labels is None else labels - inventory.n_labelled,
    }


def _versions(spark: str) -> Mapping[str, str]:
    return {"cxr_spark": __version__, "spark": spark, "python": platform.python_version(), "numpy": np.__version__}
