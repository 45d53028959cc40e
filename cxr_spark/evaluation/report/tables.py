"""The tables of an evaluation, as the page shows them and as CSV and LaTeX files hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cxr_spark.evaluation.decisions.classification import MOST_PROBABLE
from cxr_spark.reporting.tables import BAR, Column, Row, Table

_Numbers = Mapping[str, Any]
_FINDING = Column("Finding", "text", "finding")
_AUC = (Column("AUC", "three", "auc"), Column("95 % interval", "interval", "auc_ci95"))
_RATE = "false_negative_rate"
_RATES = (
    Column("Missed", "percent", _RATE),
    Column("Beside the rest", "signed", f"{_RATE}_difference"),
    Column("95 % interval", "signed_interval", f"{_RATE}_difference_ci95"),
    Column("p, Holm", "p", f"{_RATE}_difference_p_holm"),
)
_AVERAGES = ("micro", "macro", "weighted")


def tables_of(metrics: _Numbers) -> dict[str, Table]:
    """Returns the tables of an evaluation by name, those that have rows.

    Args:
        metrics: the content of metrics.json.
    """
    made: list[Table] = [_findings(metrics), _youden(metrics)]
    made += [_decisions(rule, report) for rule, report in metrics["classification"].items()]
    if metrics["comparison"]:
        made += [_comparison(metrics["comparison"]), _disagreements(metrics["comparison"])]
    made += [*_operating_points(metrics["operating_points"]), _calibration(metrics["calibration"])]
    made += [_splits(metrics), _subgroups(metrics, "subgroups"), _subgroups(metrics, "subgroup_crossings")]
    if len(metrics["findings"]) > 1:
        made += _subgroup_findings(metrics)
    if metrics.get("published"):
        made.append(_published(metrics["published"]))
    return {table.name: table for table in made if table.rows}


def _findings(metrics: _Numbers) -> Table:
    columns = (
        _FINDING,
        Column("", BAR, "bar"),
        *_AUC,
        Column("Average precision", "three", "average_precision"),
        Column("Positive images", "count", "n_positive"),
        Column("Prevalence", "percent", "prevalence"),
    )
    rows = [
        Row((name, _bar(f), *_values(f, "auc", "auc_ci95", "average_precision", "n_positive", "prevalence")))
        for name, f in metrics["findings"].items()
    ]
    if len(rows) > 1:  # macro and micro of one finding are the finding
        for name, key in (("macro (mean)", "macro"), ("micro (pooled)", "micro")):
            whole = metrics[key]
            cells = (name, _bar(whole), *_values(whole, "auc", "auc_ci95", "average_precision"), "", "")
            rows.append(Row(cells, whole=True, ruled=key == "macro"))
    return Table("findings", columns, rows)


def _bar(found: _Numbers) -> tuple[float, float, float] | None:
    if found["auc"] is None:
        return None
    low, high = found["auc_ci95"] or (found["auc"], found["auc"])
    return found["auc"], low, high


def _values(found: _Numbers, *names: str) -> tuple[Any, ...]:
    return tuple(found[name] for name in names)


def _youden(metrics: _Numbers) -> Table:
    columns = (
        _FINDING,
        Column("Threshold", "threshold", "threshold"),
        Column("Sensitivity", "three", "sensitivity"),
        Column("Specificity", "three", "specificity"),
        Column("F1", "three", "f1"),
    )
    names = [column.key for column in columns[1:]]
    return Table("youden", columns, [Row((name, *_values(f, *names))) for name, f in metrics["findings"].items()])


def _decisions(rule: str, report: _Numbers) -> Table:
    """The table of one rule; where findings are decided on one by one, with the four counts of each."""
    by_class = "confusion_matrix" in report
    counts = () if by_class else ("true_positives", "false_positives", "false_negatives", "true_negatives")
    first = Column("Class", "text", "class") if by_class else _FINDING
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
    names = [column.key for column in columns[1:]]
    rows = [Row((name, *_values(row, *names))) for name, row in report["findings"].items()]
    averages = [name for name in _AVERAGES if name in report]
    for number, name in enumerate(averages):
        cells = (name, *(report[name].get(key, "") for key in names))
        rows.append(Row(cells, whole=True, ruled=number == 0))
    return Table(f"decisions_{rule.replace('.', '_')}", columns, rows)


def _operating_points(chosen: _Numbers | None) -> Iterable[Table]:
    """One table for each rule that thresholds were chosen by."""
    columns = (
        _FINDING,
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
    names = [column.key for column in columns[1:]]
    for rule, findings in (chosen["points"] if chosen else {}).items():
        yield Table(f"points_{rule}", columns, [Row((name, *_values(row, *names))) for name, row in findings.items()])


def _calibration(calibration: _Numbers) -> Table:
    fitted = calibration["fitted_on"] is not None
    columns = [_FINDING, Column("Brier", "three", "brier"), Column("ECE", "three", "ece")]
    if fitted:
        columns += [
            Column("Temperature", "three", "temperature"),
            Column("Brier, scaled", "three", "brier_scaled"),
            Column("ECE, scaled", "three", "ece_scaled"),
        ]
    names = [column.key for column in columns[1:]]
    rows = [Row((name, *_values(row, *names))) for name, row in calibration["findings"].items()]
    if len(rows) > 1:
        whole = calibration["macro"]
        rows.append(Row(("mean", *(whole.get(name, "") for name in names)), whole=True, ruled=True))
    return Table("calibration", columns, rows)


def _published(found: _Numbers) -> Table:
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
            tuple("" if value is None else value for value in _values(figure, *names)),
            marked=own,
            faint=figure["split"] != "official",
            ruled=figure["split"] != before,
        )
        for (figure, own), before in zip(ranked, ["official", *(each[0]["split"] for each in ranked)], strict=False)
    ]
    return Table("published", columns, rows)


def _comparison(comparison: _Numbers) -> Table:
    columns = (
        _FINDING,
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
    names = [column.key for column in columns[1:]]
    rows = [Row((name, *_values(row, *names))) for name, row in comparison["findings"].items()]
    if len(rows) > 1:
        whole = comparison["macro"]
        rows.append(Row(("macro (mean)", *(whole.get(name, "") for name in names)), whole=True, ruled=True))
    return Table("comparison", columns, rows)


def _disagreements(comparison: _Numbers) -> Table:
    columns = (
        _FINDING,
        Column("Image", "name", "image_index"),
        Column("Label", "count", "label"),
        Column("Probability, baseline", "three", "probability_baseline"),
        Column("Probability", "three", "probability"),
    )
    names = [column.key for column in columns[1:]]
    rows = [
        Row((finding, *_values(image, *names)), ruled=number == 0)
        for finding, images in comparison["disagreements"].items()
        for number, image in enumerate(images)
    ]
    return Table("disagreements", columns, rows)


def _group_columns(first: str, key: str, metrics: _Numbers) -> tuple[Column, ...]:
    one = len(metrics["findings"]) == 1
    used = () if one else (Column("Findings in it", "count", "findings_used"),)
    return (
        Column(first, "text", key),
        Column("Images", "count", "n_images"),
        Column("AUC" if one else "Macro AUC", "three", "macro_auc"),
        Column("95 % interval", "interval", "macro_auc_ci95"),
        *used,
    )


def _splits(metrics: _Numbers) -> Table:
    columns = _group_columns("Split", "split", metrics)
    names = [column.key for column in columns[1:]]
    return Table("splits", columns, [Row((name, *_values(s, *names))) for name, s in metrics["splits"].items()])


def _subgroups(metrics: _Numbers, part: str) -> Table:
    """The table of `subgroups` or `subgroup_crossings`."""
    columns = (
        *_group_columns("Subgroup", "subgroup", metrics),
        Column("Beside the rest", "signed", "macro_auc_difference"),
        Column("95 % interval", "signed_interval", "macro_auc_difference_ci95"),
        Column("p, Holm", "p", "macro_auc_difference_p_holm"),
        *_RATES,
    )
    names = [column.key for column in columns[1:]]

    def rows() -> Iterable[Row]:
        for grouping, groups in metrics[part].items():
            for number, (value, group) in enumerate(groups.items()):
                name = f"{grouping}: {value}"
                yield Row(
                    (name, *_values(group, *names)), faint=group["few"], marked=group["flagged"], ruled=number == 0
                )

    return Table(part, columns, list(rows()))


def _subgroup_findings(metrics: _Numbers) -> Iterable[Table]:
    """Every finding in every subgroup, and those of them that are flagged."""
    columns = (
        Column("Subgroup", "text", "subgroup"),
        Column("Finding", "text", "finding"),
        Column("With it", "count", "n_positive"),
        Column("AUC", "three", "auc"),
        Column("Beside the rest", "signed", "auc_difference"),
        Column("95 % interval", "signed_interval", "auc_difference_ci95"),
        Column("p, Holm", "p", "auc_difference_p_holm"),
        *_RATES,
    )
    names = [column.key for column in columns[2:]]
    rows = [
        Row((f"{grouping}: {value}", name, *_values(row, *names)), faint=row["few"], marked=row["flagged"])
        for part in ("subgroups", "subgroup_crossings")
        for grouping, groups in metrics[part].items()
        for value, group in groups.items()
        for name, row in group["findings"].items()
    ]
    yield Table("subgroup_findings", columns, rows)
    yield Table("subgroup_findings_flagged", columns, [replace(row, marked=False) for row in rows if row.marked])
