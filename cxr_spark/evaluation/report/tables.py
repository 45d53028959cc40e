"""The tables of an evaluation, as the page shows them and as CSV and LaTeX files hold them."""

from __future__ import annotations

from collections.abc import Iterable

from cxr_spark.evaluation.calibration.methods import METHODS
from cxr_spark.evaluation.decisions.classification import MOST_PROBABLE
from cxr_spark.evaluation.report.group_tables import splits, subgroup_findings, subgroups
from cxr_spark.evaluation.report.mistakes import mistakes_table
from cxr_spark.evaluation.report.rows import FINDING, Numbers, average, rows_of, values
from cxr_spark.evaluation.report.words import POOLED, names_of_means
from cxr_spark.reporting.tables import BAR, Column, Row, Table

_AUC = (Column("AUC", "three", "auc"), Column("95 % interval", "interval", "auc_ci95"))
_AVERAGES = ("micro", "macro", "weighted")


def tables_of(metrics: Numbers) -> dict[str, Table]:
    """Returns the tables of an evaluation by name, those that have rows.

    Args:
        metrics: the content of metrics.json.
    """
    made: list[Table] = [_findings(metrics), _youden(metrics)]
    made += [_decisions(rule, report) for rule, report in metrics["classification"].items()]
    if metrics.get("mistakes"):
        made.append(mistakes_table(metrics["mistakes"]))
    if metrics["comparison"]:
        made += [_comparison(metrics["comparison"]), _disagreements(metrics["comparison"])]
    made += [*_operating_points(metrics["operating_points"]), _calibration(metrics["calibration"])]
    made += [splits(metrics), subgroups(metrics, "subgroups"), subgroups(metrics, "subgroup_crossings")]
    if len(metrics["findings"]) > 1:
        made += subgroup_findings(metrics)
    if metrics.get("published"):
        made.append(_published(metrics["published"]))
    return {table.name: table for table in made if table.rows}


def _findings(metrics: Numbers) -> Table:
    columns = (
        FINDING,
        Column("", BAR, "bar"),
        *_AUC,
        Column("Average precision", "three", "average_precision"),
        Column("Positive images", "count", "n_positive"),
        Column("Prevalence", "percent", "prevalence"),
    )
    rows = [
        Row((name, _bar(f), *values(f, "auc", "auc_ci95", "average_precision", "n_positive", "prevalence")))
        for name, f in metrics["findings"].items()
    ]
    if len(rows) > 1:  # macro and micro of one finding are the finding
        others = metrics.get("macro_without_no_finding")
        without, whole = names_of_means(others)
        means = [(without, others)] if others else []
        means += [(whole, metrics["macro"]), (POOLED, metrics["micro"])]
        for number, (name, found) in enumerate(means):
            cells = (name, _bar(found), *values(found, "auc", "auc_ci95", "average_precision"), "", "")
            rows.append(Row(cells, whole=True, ruled=number == 0))
    return Table("findings", columns, rows)


def _bar(found: Numbers) -> tuple[float, float, float] | None:
    if found["auc"] is None:
        return None
    low, high = found["auc_ci95"] or (found["auc"], found["auc"])
    return found["auc"], low, high


def _youden(metrics: Numbers) -> Table:
    columns = (
        FINDING,
        Column("Threshold", "threshold", "threshold"),
        Column("Sensitivity", "three", "sensitivity"),
        Column("Specificity", "three", "specificity"),
        Column("F1", "three", "f1"),
    )
    return Table("youden", columns, rows_of(metrics["findings"], columns))


def _decisions(rule: str, report: Numbers) -> Table:
    """The table of one rule; where findings are decided on one by one, with the four counts of each."""
    by_class = "confusion_matrix" in report
    counts = () if by_class else ("true_positives", "false_positives", "false_negatives", "true_negatives")
    first = Column("Class", "text", "class") if by_class else FINDING
    threshold = () if rule == MOST_PROBABLE else (Column("Threshold", "threshold", "threshold"),)
    shares = (Column("Precision", "three", "precision"), Column("Recall", "three", "recall"))
    columns = (
        first,
        *threshold,
        *shares,
        Column("F1", "three", "f1"),
        Column("Support", "count", "support"),
        *(Column(name.replace("_", " ").capitalize(), "count", name) for name in counts),
    )
    rows = rows_of(report["findings"], columns)
    averages = [name for name in _AVERAGES if name in report]
    rows += [average(name, report[name], columns, ruled=number == 0) for number, name in enumerate(averages)]
    return Table(f"decisions_{rule.replace('.', '_')}", columns, rows)


def _operating_points(chosen: Numbers | None) -> Iterable[Table]:
    """One table for each rule that thresholds were chosen by."""
    columns = (
        FINDING,
        Column("Threshold", "threshold", "threshold"),
        Column("Sensitivity", "three", "sensitivity"),
        Column("95 % interval", "interval", "sensitivity_ci95"),
        Column("Specificity", "three", "specificity"),
        Column("95 % interval", "interval", "specificity_ci95"),
        Column("PPV", "three", "ppv"),
        Column("NPV", "three", "npv"),
        Column("Missed", "count", "false_negatives"),
        Column("False alarms", "count", "false_positives"),
    )
    for rule, findings in (chosen["points"] if chosen else {}).items():
        yield Table(f"points_{rule}", columns, rows_of(findings, columns))


def _calibration(calibration: Numbers) -> Table:
    fitted = calibration["fitted_on"] is not None
    columns = [FINDING, Column("Brier", "three", "brier"), Column("ECE", "three", "ece")]
    if fitted:
        columns += [
            METHODS[calibration["method"]].column,
            Column("Brier, calibrated", "three", "brier_scaled"),
            Column("ECE, calibrated", "three", "ece_scaled"),
        ]
    rows = rows_of(calibration["findings"], columns)
    if len(rows) > 1:
        rows.append(_mean_calibration(calibration, columns))
    return Table("calibration", columns, rows)


def _mean_calibration(calibration: Numbers, columns: list[Column]) -> Row:
    """The mean of all findings; where some were not calibrated, that of the others, whose numbers compare."""
    used = len(calibration["macro_fitted"]["findings_used"])
    if used in (0, len(calibration["findings"])):
        return average("mean", calibration["macro"], columns)
    return average(
        f"mean of the {used} with a {METHODS[calibration['method']].fitted}", calibration["macro_fitted"], columns
    )


def _published(found: Numbers) -> Table:
    """Published figures, the official split first; this evaluation among those of the same test images alone."""
    columns = (
        Column("Source", "text", "source"),
        Column("Model", "text", "model"),
        Column("Split", "text", "split"),
        Column("Input side", "count", "input_side"),
        Column("Mean AUC of 14", "three", "mean_auc"),
    )
    names = [column.key for column in columns]
    figures = [(figure, False) for figure in found["figures"]]
    if found["comparable"]:
        own = {"source": "this evaluation", "model": "", "split": "official", "input_side": found["input_side"]}
        figures.append(({**own, "mean_auc": found["mean_auc"]}, True))
    ranked = sorted(figures, key=lambda each: (each[0]["split"] != "official", each[0]["mean_auc"]))
    rows = [
        Row(
            tuple("" if value is None else value for value in values(figure, *names)),
            marked=own,
            faint=figure["split"] != "official",
            ruled=figure["split"] != before,
        )
        for (figure, own), before in zip(ranked, ["official", *(each[0]["split"] for each in ranked)], strict=False)
    ]
    return Table("published", columns, rows)


def _comparison(comparison: Numbers) -> Table:
    columns = (
        FINDING,
        Column("AUC, baseline", "three", "auc_baseline"),
        Column("AUC", "three", "auc"),
        Column("Difference", "signed", "auc_difference"),
        Column("95 % interval", "signed_interval", "auc_difference_ci95"),
        Column("p, bootstrap", "p", "p_bootstrap"),
        Column("Holm", "p", "p_bootstrap_holm"),
        Column("p, DeLong", "p", "p_delong"),
        Column("Holm", "p", "p_delong_holm"),
        Column("F1, baseline", "three", "f1_baseline"),
        Column("F1", "three", "f1"),
        Column("Difference of F1", "signed", "f1_difference"),
    )
    rows = rows_of(comparison["findings"], columns)
    if len(rows) > 1:
        others = comparison.get("macro_without_no_finding")
        without, whole = names_of_means(others)
        rows += [average(without, others, columns)] if others else []
        rows.append(average(whole, comparison["macro"], columns))
    return Table("comparison", columns, rows)


def _disagreements(comparison: Numbers) -> Table:
    columns = (
        FINDING,
        Column("Image", "name", "image_index"),
        Column("Label", "count", "label"),
        Column("Probability, baseline", "three", "probability_baseline"),
        Column("Probability", "three", "probability"),
    )
    names = [column.key for column in columns[1:]]
    rows = [
        Row((finding, *values(image, *names)), ruled=number == 0)
        for finding, images in comparison["disagreements"].items()
        for number, image in enumerate(images)
    ]
    return Table("disagreements", columns, rows)
