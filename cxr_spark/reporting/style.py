"""The style of all plots: one typeface, one grid, and colours that colour-blind readers can tell apart.

Figures are made without pyplot, so no global state changes and no display is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, GREY, FAINT = "#1b1f24", "#6b7280", "#d7dbe0"
BLUE, VERMILLION, GREEN, PURPLE, ORANGE = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00"
#: The colour of letters on one of the colours below. It is not quite white, since white is replaced by the colour of
#: the page, which may be dark.
ON_COLOUR = "#fefefe"
#: Okabe and Ito's palette (2008) without yellow, which is faint on white; purple is Tol's darker one.
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE)

#: The pixels per inch of every picture.
DPI = 150
_LONGEST_NAME = 34

_STYLE: Mapping[Any, Any] = MappingProxyType(
    {
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every node
        "font.size": 9.5,
        "text.parse_math": False,  # names may hold dollar signs
        "text.color": INK,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "grid.linewidth": 0.6,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "figure.facecolor": "white",
        "svg.hashsalt": "cxr_spark",  # the names of parts of an SVG: the same in every run
        "figure.constrained_layout.w_pad": 0.12,
        "figure.constrained_layout.h_pad": 0.1,
    }
)


@contextmanager
def figure(
    width: float,
    height: float,
    target: str | Path | IO[bytes],
    vector: IO[bytes] | None = None,
    *,
    layout: Literal["constrained", "none"] = "constrained",
) -> Iterator[Figure]:
    """Gives a figure to draw on and saves it as PNG, and as SVG where that is wanted, when the block ends.

    Args:
        width: the width in inches.
        height: the height in inches.
        target: a path or a binary file.
        vector: a binary file for the SVG; None for no SVG.
        layout: whether matplotlib measures all texts to find the places of the plots, or the caller gives them, which
            is twice as fast for a grid of small plots.
    """
    with matplotlib.rc_context(dict(_STYLE)):
        drawing = Figure(figsize=(width, height), layout=None if layout == "none" else layout)
        FigureCanvasAgg(drawing)
        yield drawing
        # The file holds no version of matplotlib, so the same numbers give the same bytes.
        drawing.savefig(target, format="png", dpi=DPI, metadata={"Software": None})
        if vector is not None:
            drawing.set_layout_engine("none")  # what was laid out for the PNG stays there: that is half of the time
            drawing.savefig(vector, format="svg", metadata={"Date": None, "Creator": None})


def small_plots(
    drawing: Figure, number: int, columns: int, *, top: float, gap: tuple[float, float] = (0.3, 0.55)
) -> list[Axes]:
    """Returns square plots side by side, in rows, on a figure without a layout of its own.

    Only the plots at the left and at the bottom edge have the numbers of their axes.

    Args:
        drawing: the figure.
        number: the number of plots.
        columns: the number of plots in a row.
        top: the inches above the plots, for the titles of the first row and of the figure.
        gap: the inches between two plots, beside each other and above each other.
    """
    width, height = drawing.get_size_inches()
    rows = -(-number // columns)
    left, bottom = 0.62, 0.55
    side = min(
        (width - left - 0.15 - gap[0] * (columns - 1)) / columns, (height - bottom - top - gap[1] * (rows - 1)) / rows
    )
    plots = []
    for index in range(number):
        row, column = divmod(index, columns)
        x, y = left + column * (side + gap[0]), height - top - side - row * (side + gap[1])
        axes = drawing.add_axes((x / width, y / height, side / width, side / height))
        axes.tick_params(labelleft=column == 0, labelbottom=index >= number - columns)
        plots.append(axes)
    return plots


def display_name(name: str) -> str:
    """Returns a finding's name as plots show it: one line, with blanks for underscores, cut where it is too long.

    >>> display_name("Pleural_Thickening")
    'Pleural Thickening'
    """
    text = "".join(c if c.isprintable() else " " for c in name.replace("_", " "))
    text = " ".join(text.split()) or "(blank)"
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1].rstrip() + "…"


def empty_note(axes: Axes, text: str) -> None:
    """Says in the middle of a plot why nothing is drawn."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, wrap=True)
