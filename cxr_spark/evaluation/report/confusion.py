"""Draws confusion matrices: one of all classes, or one for each finding."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from cxr_spark.evaluation.decisions.classification import RULES
from cxr_spark.reporting.style import BLUE, INK, display_name, empty_note, figure, small_plots

_COLOURS = LinearSegmentedColormap.from_list("cxr", ["#ffffff", BLUE])
#: A cell that holds at least this fraction of its row is so dark that its text is white.
_DARK = 0.7
#: The number of small matrices side by side.
_COLUMNS = 5
#: The most characters in a line of a small matrix's title, so that it does not reach the next one.
_TITLE = 26


def draw_decisions(reports: Mapping[str, Mapping[str, Any]], target: str | Path | IO[bytes]) -> None:
    """Draws the last of some reports as PNG.

    Args:
        reports: the reports by rule, as `verdicts.reports_of` gives them. The last one is drawn: its `confusion_matrix`
            where it has one, else the counts of each finding.
        target: a path or a binary file.
    """
    rule, report = list(reports.items())[-1]
    if "confusion_matrix" in report:
        matrix = report["confusion_matrix"]
        _draw_one(matrix["classes"], np.array(matrix["counts"]), report["accuracy"], RULES[rule], target)
    else:
        _draw_each(report["findings"], RULES[rule], target)


def _draw_one(
    classes: list[str], counts: NDArray[np.int64], accuracy: float, rule: str, target: str | Path | IO[bytes]
) -> None:
    side = max(4.6, 2.4 + 0.62 * len(classes))
    with figure(side + 1.2, side, target) as drawing:
        title = [f"Confusion matrix, accuracy {accuracy:.3f}", *textwrap.wrap(rule, 34)]
        axes = drawing.add_subplot(title="\n".join(title))
        _cells(axes, counts, size=11 if len(classes) <= 6 else 9.5, shares=len(classes) <= 8)
        names = [display_name(name) for name in classes]
        axes.set_xticks(range(len(names)), names)
        if len(names) > 3:
            for label in axes.get_xticklabels():
                label.set(rotation=40, horizontalalignment="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="decision", ylabel="label")


def _draw_each(findings: Mapping[str, Mapping[str, Any]], rule: str, target: str | Path | IO[bytes]) -> None:
    columns = min(_COLUMNS, max(len(findings), 1))
    each = max(2.1, 5 / columns)
    width, height = each * columns + 0.57, each + 0.25
    with small_plots(len(findings), columns, target, width=width, row_height=height, top=0.95, gap=(0.2, 0.5)) as (
        drawing,
        places,
    ):
        drawing.suptitle(f"Images by label and decision, {rule}", x=0.01, ha="left", fontsize=11, fontweight="bold")
        for number, (axes, (name, row)) in enumerate(zip(places, findings.items(), strict=True)):
            axes.set_title("\n".join(textwrap.wrap(display_name(name), _TITLE)), fontsize=8.5)
            counts = [
                [row["true_negatives"], row["false_positives"]],
                [row["false_negatives"], row["true_positives"]],
            ]
            _cells(axes, np.array(counts), size=8.5, shares=False)
            axes.set_xticks((0, 1), ("no", "yes"))
            axes.set_yticks((0, 1), ("no", "yes"))
            if number % columns == 0:
                axes.set_ylabel("label")
            if number >= len(findings) - columns:
                axes.set_xlabel("decision")


def _cells(axes: Axes, counts: NDArray[np.int64], size: float, shares: bool) -> None:
    """Draws a matrix. The larger the fraction of its row a cell holds, the darker it is; `shares` writes that in."""
    totals = counts.sum(axis=1, keepdims=True)
    fractions = counts / np.maximum(totals, 1)
    axes.imshow(fractions, cmap=_COLOURS, vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for edge in axes.spines.values():
        edge.set_visible(True)
    if not counts.any():
        empty_note(axes, "no image with one known label")
        return
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count:,}" + (f"\n{100 * fractions[row, column]:.0f} %" if shares and totals[row, 0] else "")
        colour = "white" if fractions[row, column] > _DARK else INK
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
