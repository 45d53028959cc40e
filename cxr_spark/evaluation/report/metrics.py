"""Turns curves into the numbers of metrics.json. No Spark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.datasets.findings import NO_FINDING
from cxr_spark.evaluation.calibration.doubts import doubts_of
from cxr_spark.evaluation.counting.auc import mean_of_defined
from cxr_spark.evaluation.counting.bootstrap import percentile_interval
from cxr_spark.evaluation.counting.curves import Counts
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.decisions.classification import MOST_PROBABLE

NO_CURVE = Curve(Counts(0, 0), None, np.empty(0))
#: The number of positive images below which an AUC says little.
FEW_POSITIVES = 10


def of_finding(curve: Curve) -> dict[str, Any]:
    """Returns the numbers of one finding. Those that need both classes are None where one class is empty.

    `threshold` is Youden's. It is chosen on these images themselves, so sensitivity, specificity and F1 at it are
    optimistic.
    """
    positive, negative = curve.counts.positive, curve.counts.negative
    known = positive + negative
    numbers: dict[str, Any] = {
        "auc": curve.auc,
        "auc_ci95": percentile_interval(curve.replicate_aucs) if curve.auc is not None else None,
        "average_precision": curve.average_precision,
        "n_positive": positive,
        "n_negative": negative,
        "prevalence": positive / known if known else None,
        **dict.fromkeys(("threshold", "sensitivity", "specificity", "f1")),
    }
    if curve.best is not None:
        true, false = curve.best.true_positives, curve.best.false_positives
        numbers["threshold"] = curve.best.threshold
        numbers["sensitivity"] = true / positive
        numbers["specificity"] = 1 - false / negative
        numbers["f1"] = 2 * true / (true + false + positive)
    return numbers


def macro(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Returns the means over the findings that have both classes, and names the others.

    A bootstrap replicate's macro AUC is the mean over those findings that have both classes in the replicate.
    """
    used = {name: curve for name, curve in curves.items() if curve.auc is not None}
    return {
        "auc": mean_of_defined([curve.auc for curve in used.values()]),
        "auc_ci95": percentile_interval(mean_replicates([curve.replicate_aucs for curve in used.values()])),
        "average_precision": mean_of_defined([curve.average_precision for curve in used.values()]),
        "findings_used": len(used),
        "findings_left_out": {name: _reason(curve) for name, curve in curves.items() if name not in used},
    }


def macro_without_no_finding(curves: Mapping[str, Curve]) -> dict[str, Any] | None:
    """Returns the means over all findings but `No Finding`, as papers on NIH's set give them for its 14 findings.

    Returns:
        What `macro` returns; None where `No Finding` is not among the findings, or is the only one.
    """
    others = {name: curve for name, curve in curves.items() if name != NO_FINDING}
    return macro(others) if others and len(others) < len(curves) else None


def mean_replicates(replicates: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Returns the mean AUC of each bootstrap replicate over the findings with both classes in it; NaN without any."""
    if not replicates:
        return np.empty(0)
    values = np.stack(replicates)
    defined = ~np.isnan(values)
    counts = defined.sum(axis=0)
    return np.where(counts > 0, np.where(defined, values, 0).sum(axis=0) / np.maximum(counts, 1), np.nan)


def _reason(curve: Curve) -> str:
    if curve.counts.positive:
        return "every image with a known label has it"
    return "no image has it" if curve.counts.negative else "no image has a known label for it"


def micro(curve: Curve) -> dict[str, Any]:
    """Returns the numbers of all (image, finding) pairs with a known label, one-class findings too."""
    numbers = of_finding(curve)
    return {name: numbers[name] for name in ("auc", "auc_ci95", "average_precision", "n_positive", "n_negative")}


def of_subgroup(curves: Mapping[str, Curve], n_images: int) -> dict[str, Any]:
    """Returns the AUCs of a subgroup: macro over the findings that have both classes in it, and each finding's."""
    whole = macro(curves)
    return {
        "n_images": n_images,
        "macro_auc": whole["auc"],
        "macro_auc_ci95": whole["auc_ci95"],
        "findings_used": whole["findings_used"],
        "findings": {
            name: {"auc": curve.auc, "n_positive": curve.counts.positive, "n_negative": curve.counts.negative}
            for name, curve in curves.items()
        },
    }


def warnings_of(metrics: Mapping[str, Any]) -> list[str]:
    """Returns what a reader of the numbers should know, as one sentence for each point."""
    return list(_warnings(metrics))


def _warnings(metrics: Mapping[str, Any]) -> Iterable[str]:
    if metrics.get("synthetic"):
        yield "The images are synthetic: these numbers say nothing about real X-rays."
    left_out = metrics["macro"]["findings_left_out"]
    for name, reason in left_out.items():
        yield f"{_shown(name)} has no AUC and is left out of macro: {reason}."
    positives = {name: f["n_positive"] for name, f in metrics["findings"].items() if name not in left_out}
    few = [f"{_shown(name)} ({n})" for name, n in positives.items() if n < FEW_POSITIVES]
    if few:
        yield f"Fewer than {FEW_POSITIVES} positive images, so the AUC is very uncertain: {', '.join(few)}."
    same = [_shown(name) for name, f in metrics["findings"].items() if _all_the_same(f)]
    if same:
        yield f"All images have the same score, which AUC and interval do not show: {', '.join(same)}."
    if metrics["n_patients"] is None:
        yield "No image names its patient: intervals take every image as a patient of its own and may be too narrow."
    elif metrics["n_images_without_patient"]:
        yield (
            f"{metrics['n_images_without_patient']:,} images do not name their patient and are taken as a patient each."
        )
    if may_share_patients(metrics):
        yield (
            "Splits may share patients: who is not known cannot be kept apart, so that images of one person may have "
            "been trained on and tested on. This is no result by patient and must not be compared with published ones."
        )
    splits = metrics["images_by_split"]
    if metrics.get("lists"):
        yield from _left_out_by_lists(metrics)
    if "train" in splits:
        rest = " --split test leaves them out." if "test" in splits else ""
        yield f"{splits['train']:,} of the images are of the training split: the numbers are too good.{rest}"
    if metrics.get("n_patients_in_several_splits"):
        yield f"{metrics['n_patients_in_several_splits']:,} patients have images in more than one split."
    for rule, report in metrics["classification"].items():
        unchosen = report.get("threshold_not_chosen")
        if unchosen:
            names = ", ".join(map(_shown, unchosen))
            yield f"No threshold could be chosen on the {rule} images for {names}: 0.5 is taken there."
    if MOST_PROBABLE in metrics["classification"]:
        matrix = metrics["classification"][MOST_PROBABLE]["confusion_matrix"]["counts"]
        without = metrics["n_images"] - sum(map(sum, matrix))
        if without:
            yield f"{without:,} images have not exactly one known label and are left out of precision, recall and F1."
    yield from doubts_of(metrics["calibration"])
    comparison = metrics["comparison"]
    if comparison and comparison["images_not_in_baseline"]:
        yield (
            f"{comparison['images_not_in_baseline']:,} of the images are not in the baseline: the comparison is of the "
            "others."
        )
    unmatched = metrics["unmatched"]
    if unmatched["predictions_without_label"]:
        yield f"{unmatched['predictions_without_label']:,} predictions have no label and are left out."


def _left_out_by_lists(metrics: Mapping[str, Any]) -> Iterable[str]:
    """Says how many predictions are left out, as they are of images that are not on the list that is evaluated."""
    others = metrics["images_of_other_splits"]
    left_out = sum(others.values())
    if left_out:
        named = [
            f"{n:,} on the {name} list" if name in metrics["lists"] else f"{n:,} on no list"
            for name, n in others.items()
        ]
        yield (
            f"{left_out:,} of {left_out + metrics['n_images']:,} images are not on the {metrics['split']} list and are "
            f"left out: {', '.join(named)}."
        )


def may_share_patients(metrics: Mapping[str, Any]) -> bool:
    """Whether training images may be of evaluated patients, since there are splits and images without a patient."""
    unnamed = metrics["n_patients"] is None or metrics["n_images_without_patient"] > 0
    return bool(unnamed and metrics["images_by_split"])


def _all_the_same(finding: Mapping[str, Any]) -> bool:
    """Whether all images have one score: then the operating point is that score, and calls every image positive."""
    return (finding["auc"], finding["sensitivity"], finding["specificity"]) == (0.5, 1.0, 0.0)


def _shown(name: str) -> str:
    return name.replace("_", " ")
