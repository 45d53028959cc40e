"""What the evaluate job returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_spark.outputs.results import JobResult
from cxr_spark.storage.store import Store


class EvaluateResult(JobResult):
    """The result of the evaluate job, beside the mean AUC of each split as `macro_auc_SPLIT`.

    Attributes:
        report: full URI of the page.
        macro_auc: mean of the AUCs of all findings that have both classes; None where there are none.
        macro_auc_ci95: its interval of 95 %; None without bootstrap.
        macro_auc_without_no_finding: the same mean without `No Finding`, as papers on NIH's set give it for its 14
            findings; None where `No Finding` is not evaluated, or is the only finding.
        micro_auc: AUC of all pairs of image and finding together.
        findings_used: the findings that `macro_auc` is the mean of.
        macro_f1: mean of the F1 scores of all findings.
        f1_rule: how the decisions behind `macro_f1` were made.
        macro_auc_difference: what the mean AUC is above that of the baseline; None where none was given.
        n_images: images that were evaluated.
        n_patients: patients that were evaluated; None where they are not known.
        model_id: the `model_id` of the model that made the predictions; None where it is not known.
    """

    report: str
    macro_auc: float | None = None
    macro_auc_ci95: tuple[float | None, float | None] | None = None
    macro_auc_without_no_finding: float | None = None
    micro_auc: float | None = None
    findings_used: Any = None
    macro_f1: float | None = None
    f1_rule: str | None = None
    macro_auc_difference: Any = None
    n_images: int
    n_patients: int | None = None
    model_id: str | None = None


def result_of(store: Store, metrics: Mapping[str, Any]) -> EvaluateResult:
    """Returns the result of an evaluation.

    Args:
        store: the output folder.
        metrics: the content of metrics.json.
    """
    rule, report = list(metrics["classification"].items())[-1]
    comparison = metrics["comparison"]
    difference = {"macro_auc_difference": comparison["macro"]["auc_difference"]} if comparison else {}
    return EvaluateResult(
        out=store.uri,
        report=store.uri_of("report.html"),
        macro_auc=metrics["macro"]["auc"],
        macro_auc_ci95=metrics["macro"]["auc_ci95"],
        macro_auc_without_no_finding=(metrics["macro_without_no_finding"] or {}).get("auc"),
        micro_auc=metrics["micro"]["auc"],
        findings_used=metrics["macro"]["findings_used"],
        macro_f1=report["macro"]["f1"],
        f1_rule=rule,
        **difference,
        **{f"macro_auc_{name}": split["macro_auc"] for name, split in metrics["splits"].items()},
        n_images=metrics["n_images"],
        n_patients=metrics["n_patients"],
        model_id=metrics["model_id"],
    )
