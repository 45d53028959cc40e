"""Draws the losses of a learning-rate range test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

from matplotlib.ticker import FuncFormatter, NullFormatter

from cxr_spark.reporting.style import BLUE, FAINT, VERMILLION, empty_note, figure

#: The top of the picture as a multiple of the range of the smoothed losses: what diverges would flatten the rest.
_ABOVE = 1.5


def range_curve(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggested: float | None,
    target: str | Path | IO[bytes],
) -> None:
    """Draws loss by learning rate as PNG.

    Args:
        rates: the learning rate of each step, rising.
        losses: the loss of each step.
        smoothed: the same, smoothed.
        suggested: the rate that is marked; None for none.
        target: a path or a binary file.
    """
    with figure(7, 4.2, target) as drawing:
        axes = drawing.add_subplot(title="Loss by learning rate")
        axes.set_xlabel("learning rate of the step")
        axes.set_ylabel("loss")
        if not rates:
            empty_note(axes, "no values")
            return
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:.0e}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.plot(rates, losses, color=FAINT, linewidth=1.2, label="each step")
        axes.plot(rates, smoothed, color=BLUE, linewidth=1.8, label="smoothed")
        if suggested is not None:
            axes.axvline(suggested, color=VERMILLION, linewidth=1.2, linestyle="--", label=f"suggested: {suggested:g}")
        low, first = min(smoothed), smoothed[0]
        room = max(first - low, 0.05 * abs(first), 1e-6)
        axes.set_ylim(low - 0.2 * room, low + _ABOVE * room)
        axes.legend(loc="best")
