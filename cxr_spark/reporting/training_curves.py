"""Draws the curves of a training: loss, validation AUC and accuracy, and learning rate by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from cxr_spark.reporting.style import BLUE, GREEN, GREY, PURPLE, VERMILLION, empty_note, figure

#: Where there are more epochs than this, a line has no marks at its points.
_MOST_MARKED = 40


def training_curves(
    history: Sequence[Mapping[str, Any]],
    target: str | Path | IO[bytes],
    best: int | None = None,
    vector: IO[bytes] | None = None,
) -> None:
    """Draws the history of a training as PNG, and as SVG where that is wanted.

    Args:
        history: one entry for each epoch, as in `history.json`: `epoch`, `train_loss`, `val_loss`, `val_macro_auc`,
            `val_accuracy`, `learning_rate`; a value may be missing or None.
        target: a path or a binary file.
        best: the place, from 0, of the epoch that is marked; None for none.
        vector: a binary file for the SVG; None for no SVG.
    """
    series = _series(history)
    epochs = series["epoch"]
    accurate = bool(np.isfinite(series["val_accuracy"]).any())
    with figure(13 if accurate else 9, 5.4, target, vector) as drawing:
        rows = drawing.add_gridspec(2, 3 if accurate else 2, height_ratios=(3.2, 1))
        loss, auc = drawing.add_subplot(rows[0, 0]), drawing.add_subplot(rows[0, 1])
        rate = drawing.add_subplot(rows[1, :])
        _line(loss, epochs, series["train_loss"], "training", BLUE)
        _line(loss, epochs, series["val_loss"], "validation", VERMILLION)
        _line(auc, epochs, series["val_macro_auc"], _with_value("macro AUC", series["val_macro_auc"], best), GREEN)
        measured = [loss, auc]
        if accurate:  # in axes of its own: accuracies are so much higher than AUCs that these would be flat beside them
            accuracy = drawing.add_subplot(rows[0, 2], title="Validation accuracy")
            label = _with_value("accuracy", series["val_accuracy"], best)
            _line(accuracy, epochs, series["val_accuracy"], label, PURPLE)
            measured.append(accuracy)
        _line(rate, epochs, series["learning_rate"], "learning rate", GREY)
        loss.set_title("Loss")
        auc.set_title("Validation AUC" + ("" if best is None else f", best epoch {epochs[best]:g}"))
        rate.set_title("Learning rate")
        _rate_scale(rate, series["learning_rate"])
        for axes in (*measured, rate):
            _epoch_axis(axes, epochs, best)
            axes.set_xlabel("epoch (dashed: best)" if best is not None else "epoch")
        for axes in measured:
            if axes.lines:
                axes.legend(loc="best")


def _series(history: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """Returns the values of each metric by epoch, NaN where there is none."""
    names = ("train_loss", "val_loss", "val_macro_auc", "val_accuracy", "learning_rate")
    series = {name: np.array([_number(entry.get(name)) for entry in history], dtype=np.float64) for name in names}
    series["epoch"] = np.array([entry.get("epoch", i + 1) for i, entry in enumerate(history)], dtype=np.float64)
    return series


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _line(axes: Axes, epochs: NDArray[np.float64], values: NDArray[np.float64], label: str, colour: str) -> None:
    there = np.isfinite(values)
    if not there.any():
        return
    marker = "o" if len(epochs) <= _MOST_MARKED else None
    axes.plot(epochs[there], values[there], label=label, color=colour, linewidth=1.7, marker=marker, markersize=4)


def _rate_scale(axes: Axes, rates: NDArray[np.float64]) -> None:
    positive = rates[np.isfinite(rates) & (rates > 0)]
    if positive.size and positive.max() >= 10 * positive.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(_short))  # after the scale, which brings its own


def _short(value: float, _position: int) -> str:
    return f"{value:.3g}"


def _with_value(name: str, values: NDArray[np.float64], best: int | None) -> str:
    known = best is not None and not math.isnan(values[best])
    return f"{name} ({values[best]:.3f})" if known else name


def _epoch_axis(axes: Axes, epochs: NDArray[np.float64], best: int | None) -> None:
    if not axes.lines:
        empty_note(axes, "no values")
    elif best is not None:
        axes.axvline(epochs[best], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0.5, label="_best")
    if len(epochs):
        margin = max(0.5, 0.02 * (epochs[-1] - epochs[0]))
        axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))
