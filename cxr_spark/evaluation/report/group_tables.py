"""The tables of an evaluation that have one row for each split or subgroup."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cxr_spark.evaluation.report.rows import Numbers, rows_of, values
from cxr_spark.reporting.tables import Column, Row, Table

_RATE = "false_negative_rate"
_RATES = (
    Column("Missed", "percent", _RATE),
    Column("Beside the rest", "signed", f"{_RATE}_difference"),
    Column("95 % interval", "signed_interval", f"{_RATE}_difference_ci95"),
    Column("p, Holm", "p", f"{_RATE}_difference_p_holm"),
)


def _group_columns(first: str, key: str, metrics: Numbers) -> tuple[Column, ...]:
    one = len(metrics["findings"]) == 1
    used = () if one else (Column("Findings in it", "count", "findings_used"),)
    return (
        Column(first, "text", key),
        Column("Images", "count", "n_images"),
        Column("AUC" if one else "Macro AUC", "three", "macro_auc"),
        Column("95 % interval", "interval", "macro_auc_ci95"),
        *used,
    )


def splits(metrics: Numbers) -> Table:
    """Returns the table of the splits that were evaluated."""
    columns = _group_columns("Split", "split", metrics)
    return Table("splits", columns, rows_of(metrics["splits"], columns))


def subgroups(metrics: Numbers, part: str) -> Table:
    """Returns the table of the subgroups of one kind.

    Args:
        metrics: the content of metrics.json.
        part: `subgroups` or `subgroup_crossings`, a key of `metrics`.
    """
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
                    (name, *values(group, *names)), faint=group["few"], marked=group["flagged"], ruled=number == 0
                )

    return Table(part, columns, list(rows()))


def subgroup_findings(metrics: Numbers) -> Iterable[Table]:
    """Yields the table of every finding in every subgroup, and that of the flagged ones among them."""
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
        Row((f"{grouping}: {value}", name, *values(row, *names)), faint=row["few"], marked=row["flagged"])
        for part in ("subgroups", "subgroup_crossings")
        for grouping, groups in metrics[part].items()
        for value, group in groups.items()
        for name, row in group["findings"].items()
    ]
    yield Table("subgroup_findings", columns, rows)
    yield Table("subgroup_findings_flagged", columns, [replace(row, marked=False) for row in rows if row.marked])
