"""The style of all plots: one typeface, one grid, and colours that colour-blind readers can tell apart.

Figures are made without pyplot, so no global state changes and no display is needed.
"""

from __future__ import annotations

import threading
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
#: matplotlib's settings are the process's own, so one thread draws at a time.
_ALONE = threading.RLock()

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


#: The inches beside and below a grid of small plots, for the numbers and the names of their axes.
_LEFT, _BOTTOM = 0.62, 0.55


@contextmanager
def figure(
    width: float, height: float, target: str | Path | IO[bytes], vector: IO[bytes] | None = None
) -> Iterator[Figure]:
    """Gives a figure to draw on and saves it as PNG, and as SVG where that is wanted, when the block ends.

    Args:
        width: the width in inches.
        height: the height in inches.
        target: a path or a binary file.
        vector: a binary file for the SVG; None for no SVG.
    """
    with _figure(width, height, target, vector, "constrained") as drawing:
        yield drawing


@contextmanager
def small_plots(
    number: int,
    columns: int,
    target: str | Path | IO[bytes],
    vector: IO[bytes] | None = None,
    *,
    width: float,
    row_height: float,
    top: float,
    gap: tuple[float, float],
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Gives a figure of square plots side by side, in rows, and saves it as `figure` does.

    Only the plots at the left and at the bottom edge have the numbers of their axes. The places of the plots are known,
    so that matplotlib does not measure all texts to find them, which takes as long as the rest of the drawing.

    Args:
        number: the number of plots; for none there is an empty figure with room for one.
        columns: the number of plots in a row, 1 at least.
        target: a path or a binary file.
        vector: a binary file for the SVG; None for no SVG.
        width: the width of the figure in inches; what the plots leave of it is empty, at the right.
        row_height: the inches from one row of plots to the next: the side of a plot and the gap above it.
        top: the inches above the plots, for the titles of the first row and of the figure.
        gap: the inches between two plots, beside each other and above each other.
    """
    rows = max(-(-number // columns), 1)
    height = row_height * rows + (top + _BOTTOM - gap[1])
    # `row_height - gap[1]` but for its last bit, which decides where an edge goes that falls on half a pixel.
    side = (height - _BOTTOM - top - gap[1] * (rows - 1)) / rows
    with _figure(width, height, target, vector, None) as drawing:
        plots = []
        for index in range(number):
            row, column = divmod(index, columns)
            x, y = _LEFT + column * (side + gap[0]), height - top - side - row * (side + gap[1])
            axes = drawing.add_axes((x / width, y / height, side / width, side / height))
            axes.tick_params(labelleft=column == 0, labelbottom=index >= number - columns)
            plots.append(axes)
        yield drawing, plots


@contextmanager
def _figure(
    width: float,
    height: float,
    target: str | Path | IO[bytes],
    vector: IO[bytes] | None,
    layout: Literal["constrained"] | None,
) -> Iterator[Figure]:
    """See `figure`; without a layout the caller gives the places of the plots."""
    with _ALONE, matplotlib.rc_context(dict(_STYLE)):
        drawing = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(drawing)
        yield drawing
        # The file holds no version of matplotlib, so the same numbers give the same bytes.
        drawing.savefig(target, format="png", dpi=DPI, metadata={"Software": None})
        if vector is not None:
            drawing.set_layout_engine("none")  # what was laid out for the PNG stays there: that is half of the time
            drawing.savefig(vector, format="svg", metadata={"Date": None, "Creator": None})


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
