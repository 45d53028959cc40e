"""Draws the plots of an evaluation: ROC curves, and AUCs with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cxr_spark.datasets.findings import NO_FINDING
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.report.words import POOLED, names_of_means
from cxr_spark.reporting.style import BLUE, GREY, INK, display_name, empty_note, figure, small_plots

__all__ = ["RocCurve", "auc_bars", "macro_curve", "roc_curve", "roc_curves"]

#: How the summing curves are drawn: the mean without No Finding, the mean of all findings, and all pairs.
_WITHOUT, _MACRO = {"color": BLUE, "linestyle": "solid"}, {"color": INK, "linestyle": "solid"}
_MICRO = {"color": INK, "linestyle": (0, (4, 2))}
_CHANCE = 0.5
#: The number of small plots side by side.
_COLUMNS = 4
#: A curve of a small plot: its name in the legend, its points, and how it is drawn.
_Line = tuple[str, NDArray[np.float64], Mapping[str, Any]]
#: One bar: name, AUC, interval, number of positive images, colour.
_Row = tuple[str, float, Sequence[float] | None, str, str]
#: The false positive rates at which curves are averaged.
_GRID = np.linspace(0.0, 1.0, 1001)


@dataclass(frozen=True)
class RocCurve:
    """A ROC curve to draw.

    Attributes:
        name: the finding's name.
        auc: the exact AUC, not the one of the points.
        points: true and false positive rates, float64 of shape (2, n) from (0, 0) to (1, 1).
        thresholds: the threshold of each point, float64 of shape (n,); None where they are not known.
    """

    name: str
    auc: float
    points: NDArray[np.float64]
    thresholds: NDArray[np.float64] | None = None


def roc_curve(name: str, curve: Curve) -> RocCurve | None:
    """Returns a counted curve as one to draw; None where a class is empty."""
    if curve.auc is None or curve.roc is None:
        return None
    return RocCurve(name, curve.auc, curve.roc, curve.roc_thresholds)


def macro_curve(curves: Sequence[RocCurve]) -> NDArray[np.float64]:
    """Averages curves over their true positive rates at each false positive rate (Fawcett, 2006, "vertical averaging").

    Returns:
        float64 of shape (2, 1002): true and false positive rates. The area under it is the mean of the AUCs.
    """
    mean = np.mean([np.interp(_GRID, curve.points[1], curve.points[0]) for curve in curves], axis=0)
    return np.stack([np.r_[0.0, mean], np.r_[0.0, _GRID]])


def roc_curves(
    curves: Sequence[RocCurve],
    macro_auc: float | None,
    micro: RocCurve | None,
    target: str | Path | IO[bytes],
    vector: IO[bytes] | None = None,
    *,
    others: float | None = None,
) -> None:
    """Draws the ROC curves as PNG: macro and micro in one small plot, and one for each finding, the largest AUC first.

    Args:
        curves: the curves of the findings that have both classes.
        macro_auc: the mean of their AUCs.
        micro: the curve of all (image, finding) pairs.
        target: a path or a binary file.
        vector: a binary file for the same plot as SVG.
        others: the mean of the AUCs without `No Finding`; None where that is no finding, or the only one.
    """
    ranked = sorted(curves, key=lambda curve: -curve.auc)
    whole: list[_Line] = [(f"{POOLED}, {micro.auc:.3f}", micro.points, _MICRO)] if micro is not None else []
    if ranked and macro_auc is not None:
        without, of_all = names_of_means({"auc": others} if others is not None else None)
        whole.insert(0, (f"{of_all}, {macro_auc:.3f}", macro_curve(ranked), _MACRO))
        used = [curve for curve in ranked if curve.name != NO_FINDING]
        if others is not None and used:
            whole.insert(0, (f"{without}, {others:.3f}", macro_curve(used), _WITHOUT))
    plots: list[tuple[str, list[_Line]]] = [
        (f"{display_name(curve.name)}\nAUC {curve.auc:.3f}", [("", curve.points, {"color": BLUE})]) for curve in ranked
    ]
    if len(ranked) != 1 and whole:  # macro and micro of one finding are the finding
        plots.insert(0, ("All findings", whole))
    columns = min(_COLUMNS, max(len(plots), 1))
    each = max(2.35, 5.6 / columns)
    width, height = each * columns + 0.77, each + 0.3
    with small_plots(len(plots), columns, target, vector, width=width, row_height=height, top=0.5, gap=(0.3, 0.55)) as (
        drawing,
        places,
    ):
        if not plots:
            empty_note(drawing.add_subplot(), "no finding has images with and without it:\nthere is no curve to draw")
        for number, (axes, (title, lines)) in enumerate(zip(places, plots, strict=True)):
            _roc_axes(axes, title, left=number % columns == 0, bottom=number >= len(plots) - columns)
            for label, points, look in lines:
                axes.plot(points[1], points[0], clip_on=False, linewidth=1.5, label=label, zorder=3, **look)
            if lines[0][0]:
                axes.legend(loc="lower right", fontsize=7, handlelength=1.6, borderaxespad=0.1)


def _roc_axes(axes: Axes, title: str, *, left: bool, bottom: bool) -> None:
    """Gives a small plot its chance line, its ticks and, at the edges of the whole, the names of its axes."""
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_title(title, fontsize=8.5)
    axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
    axes.set_yticks((0, 0.5, 1), ("0", "0.5", "1"))
    axes.tick_params(labelsize=7.5)
    if bottom:
        axes.set_xlabel("1 - specificity", fontsize=8)
    if left:
        axes.set_ylabel("sensitivity", fontsize=8)


def auc_bars(
    findings: Mapping[str, Mapping[str, Any]],
    macro: Mapping[str, Any],
    micro: Mapping[str, Any],
    target: str | Path | IO[bytes],
    vector: IO[bytes] | None = None,
    *,
    others: Mapping[str, Any] | None = None,
) -> None:
    """Draws the AUC of each finding as a bar with its interval, sorted, with the number of positive images, as PNG.

    Args:
        findings: a dict of `auc`, `auc_ci95` and `n_positive` for each finding, as in metrics.json. Findings without an
            AUC are left out.
        macro: `auc` and `auc_ci95` of the mean.
        micro: `auc` and `auc_ci95` of all pairs.
        target: a path or a binary file.
        vector: a binary file for the same plot as SVG.
        others: `auc` and `auc_ci95` of the mean without `No Finding`; None where that is no finding, or the only one.
    """
    ranked = sorted(((f["auc"], name, f) for name, f in findings.items() if f["auc"] is not None), reverse=True)
    rows: list[_Row] = [
        (display_name(name), auc, f["auc_ci95"], f"{f['n_positive']:,}", BLUE) for auc, name, f in ranked
    ]
    without, of_all = names_of_means(others)
    for name, whole in ((without, others), (of_all, macro), (POOLED, micro)):
        if whole and whole["auc"] is not None and len(findings) > 1:  # macro and micro of one finding are the finding
            rows.append((name, whole["auc"], whole["auc_ci95"], "", INK))
    with figure(10, 1.5 + 0.31 * max(len(rows), 4), target, vector) as drawing:
        columns = drawing.add_gridspec(1, 2, width_ratios=(3, 1.35))
        axes = drawing.add_subplot(columns[0], title="AUC with 95 % interval", xlabel="AUC (dashed: chance)")
        numbers = drawing.add_subplot(columns[1], sharey=axes)
        numbers.axis("off")
        if not rows:
            empty_note(axes, "no finding has images with and without it:\nthere is no AUC to draw")
            return
        aucs, places = [auc for _, auc, *_ in rows], range(len(rows))
        colours = [colour for *_, colour in rows]
        axes.barh(places, [auc - _CHANCE for auc in aucs], left=_CHANCE, height=0.62, color=colours, alpha=0.55)
        intervals = np.array([ci or (np.nan, np.nan) for _, _, ci, _, _ in rows], np.float64).T
        away = np.maximum([aucs - intervals[0], intervals[1] - aucs], 0)  # NaN stays: no interval is drawn
        axes.errorbar(aucs, places, xerr=away, fmt="none", ecolor=INK, capsize=3, linewidth=1.2)
        axes.axvline(_CHANCE, color=GREY, linewidth=1.0, linestyle=(0, (3, 2)))
        axes.set_yticks(range(len(rows)), [row[0] for row in rows])
        lowest = min(min(auc, *(ci or [auc])) for _, auc, ci, _, _ in rows)
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlim=(min(0.48, lowest - 0.02), 1.005))
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        _columns(numbers, rows)


def _columns(axes: Axes, rows: Sequence[_Row]) -> None:
    """Writes AUC, interval and number of positive images beside the bars."""
    place = axes.get_yaxis_transform()
    cells = [("AUC", "95 % interval", "positives")]
    cells += [(f"{auc:.3f}", f"{ci[0]:.3f} to {ci[1]:.3f}" if ci else "none", n) for _, auc, ci, n, _ in rows]
    for row, texts in enumerate(cells, start=-1):
        for x, text, align in zip((0.13, 0.42, 1.0), texts, ("right", "center", "right"), strict=True):
            colour = GREY if row < 0 else INK
            axes.text(x, row, text, transform=place, ha=align, va="center", color=colour, fontsize=8.5)
