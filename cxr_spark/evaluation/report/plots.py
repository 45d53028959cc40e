"""Draws the plots of an evaluation: ROC curves, and AUCs with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cxr_spark.reporting.style import BLUE, GREY, INK, display_name, empty_note, figure, line_look

__all__ = ["RocCurve", "auc_bars", "macro_curve", "roc_curves"]

_MACRO, _MICRO = {"color": INK, "linestyle": "solid"}, {"color": INK, "linestyle": (0, (4, 2))}
_CHANCE = 0.5
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
    """

    name: str
    auc: float
    points: NDArray[np.float64]


def macro_curve(curves: Sequence[RocCurve]) -> NDArray[np.float64]:
    """Averages curves over their true positive rates at each false positive rate (Fawcett, 2006, "vertical averaging").

    Returns:
        float64 of shape (2, 1002): true and false positive rates. The area under it is the mean of the AUCs.
    """
    mean = np.mean([np.interp(_GRID, curve.points[1], curve.points[0]) for curve in curves], axis=0)
    return np.stack([np.r_[0.0, mean], np.r_[0.0, _GRID]])


def roc_curves(
    curves: Sequence[RocCurve], macro_auc: float | None, micro: RocCurve | None, target: str | Path | IO[bytes]
) -> None:
    """Draws the ROC curves of all findings, macro and micro, with the AUCs in the legend, as PNG.

    Args:
        curves: the curves of the findings that have both classes.
        macro_auc: the mean of their AUCs.
        micro: the curve of all (image, finding) pairs.
        target: a path or a binary file.
    """
    ranked = sorted(curves, key=lambda curve: -curve.auc)
    with figure(10.4, 6.4 + 0.18 * max(0, len(ranked) - 20), target) as drawing:
        columns = drawing.add_gridspec(1, 2, width_ratios=(6.2, 3.9))
        axes, names = drawing.add_subplot(columns[0], anchor="W"), drawing.add_subplot(columns[1])
        names.axis("off")
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        drawn: dict[str, Any] = {}

        def draw(text: str, points: NDArray[np.float64], **look: Any) -> None:
            drawn[text] = axes.plot(points[1], points[0], clip_on=False, solid_joinstyle="round", **look)[0]

        if len(ranked) > 1 and macro_auc is not None:
            draw(f"{macro_auc:.3f}  macro (mean)", macro_curve(ranked), linewidth=2.6, zorder=4, **_MACRO)
        if micro is not None:
            draw(f"{micro.auc:.3f}  micro (pooled)", micro.points, linewidth=2.0, zorder=4, **_MICRO)
        for number, curve in enumerate(ranked):
            text = f"{curve.auc:.3f}  {display_name(curve.name)}"
            draw(text, curve.points, linewidth=1.4, zorder=3, **line_look(number))
        if drawn:
            names.legend(
                drawn.values(),
                drawn.keys(),
                title="AUC",
                alignment="left",
                loc="center left",
                handlelength=3.4,
                fontsize=9.5,
            )
        else:
            empty_note(axes, "no finding has images with and without it:\nthere is no curve to draw")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title="ROC curves")
        axes.set_xticks(np.arange(0, 1.01, 0.2))
        axes.set_xlabel("1 - specificity (false positive rate)")
        axes.set_ylabel("sensitivity (true positive rate)")


def auc_bars(
    findings: Mapping[str, Mapping[str, Any]],
    macro: Mapping[str, Any],
    micro: Mapping[str, Any],
    target: str | Path | IO[bytes],
) -> None:
    """Draws the AUC of each finding as a bar with its interval, sorted, with the number of positive images, as PNG.

    Args:
        findings: by name `auc`, `auc_ci95` and `n_positive`, as in metrics.json. Findings without an AUC are left out.
        macro: `auc` and `auc_ci95` of the mean.
        micro: `auc` and `auc_ci95` of all pairs.
        target: a path or a binary file.
    """
    ranked = sorted(((f["auc"], name, f) for name, f in findings.items() if f["auc"] is not None), reverse=True)
    rows: list[_Row] = [
        (display_name(name), auc, f["auc_ci95"], f"{f['n_positive']:,}", BLUE) for auc, name, f in ranked
    ]
    for name, whole in (("macro (mean)", macro), ("micro (pooled)", micro)):
        if whole["auc"] is not None:
            rows.append((name, whole["auc"], whole["auc_ci95"], "", INK))
    with figure(10, 1.5 + 0.31 * max(len(rows), 4), target) as drawing:
        columns = drawing.add_gridspec(1, 2, width_ratios=(3, 1.35))
        axes = drawing.add_subplot(columns[0], title="AUC with 95 % interval", xlabel="AUC (dashed: chance)")
        numbers = drawing.add_subplot(columns[1], sharey=axes)
        numbers.axis("off")
        if not rows:
            empty_note(axes, "no finding has images with and without it:\nthere is no AUC to draw")
            return
        for row, (_, auc, ci, _, colour) in enumerate(rows):
            axes.barh(row, auc - _CHANCE, left=_CHANCE, height=0.62, color=colour, alpha=0.55)
            if ci:
                away = [[max(auc - ci[0], 0)], [max(ci[1] - auc, 0)]]
                axes.errorbar(auc, row, xerr=away, color=INK, capsize=3, linewidth=1.2)
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
