"""Draws the plots of an exploration: class balance, co-occurrence, patients, and grey values."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray
from PIL import Image

from cxr_spark.exploration.distributions import AGE_BIN, NOT_KNOWN
from cxr_spark.reporting.style import COLOURS, GREY, INK, ON_COLOUR, display_name, empty_note, figure
from cxr_spark.tables.schema import SPLITS

Splits = Mapping[str, Mapping[str, Any]]

#: The most findings whose numbers are printed in a matrix.
_MAX_PRINTED = 20
#: A peak at black or white that is so many times as high as the rest is cut, so that the rest can be seen.
_CRUSHING = 1.5
#: Where a patient has more images than this, their axis is logarithmic.
_MOST_LINEAR = 20


def class_balance(findings: Sequence[str], splits: Splits, target: IO[bytes], vector: IO[bytes] | None = None) -> None:
    """Draws, as PNG and SVG, the fraction of each split's known images with each finding, the most frequent on top."""
    positives = {name: sum(split["findings"][name]["positive"] for split in splits.values()) for name in findings}
    ranked = sorted(findings, key=lambda name: -positives[name])
    height = 0.8 / len(splits)
    with figure(10, 1.6 + 0.17 * len(ranked) * max(len(splits), 2), target, vector) as drawing:
        axes = drawing.add_subplot(
            title="Images with each finding", xlabel="% of the split's images with a known label"
        )
        highest = 0.0
        for i, (name, split) in enumerate(splits.items()):
            rates = [100 * (split["findings"][finding]["prevalence"] or 0.0) for finding in ranked]
            rows = np.arange(len(ranked)) + (i - (len(splits) - 1) / 2) * height
            axes.barh(rows, rates, height=height * 0.9, color=_colour(name), label=name)
            highest = max(highest, *rates)
            for row, rate, finding in zip(rows, rates, ranked, strict=True):
                count = f"{split['findings'][finding]['positive']:,}"
                axes.annotate(
                    count, (rate, row), (3, 0), textcoords="offset points", va="center", fontsize=6.5, color=GREY
                )
        axes.set_yticks(range(len(ranked)), [display_name(name) for name in ranked])
        axes.set(ylim=(len(ranked) - 0.4, -0.6), xlim=(0, 1.08 * highest or 1))
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        drawing.legend(loc="outside lower right", ncols=len(splits))


def co_occurrence(matrix: Mapping[str, Any], target: IO[bytes]) -> None:
    """Draws, as PNG, how many images have both findings of each pair, coloured by the share of the row's images."""
    names, images = matrix["findings"], np.array(matrix["images"], dtype=float)
    own = np.diag(images)
    shares = np.divide(images, own[:, None], out=np.zeros_like(images), where=own[:, None] > 0)
    side = max(4.5, 1.6 + 0.46 * len(names))
    with figure(side + 2.2, side, target) as drawing:
        axes = drawing.add_subplot(title="Images that have both findings")
        picture = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
        shown = [display_name(name) for name in names]
        axes.set_xticks(range(len(names)), shown, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), shown)
        axes.grid(visible=False)
        axes.tick_params(length=0)
        if len(names) <= _MAX_PRINTED:
            for row, column in np.argwhere(images > 0):
                colour = "white" if shares[row, column] > 0.55 else INK
                number = f"{images[row, column]:,.0f}"
                axes.text(column, row, number, ha="center", va="center", fontsize=6.5, color=colour)
        bar = drawing.colorbar(picture, ax=axes, shrink=0.7)
        bar.set_label("% of the images with the row's finding")


def patients(splits: Splits, target: IO[bytes], vector: IO[bytes] | None = None) -> None:
    """Draws, as PNG and SVG, images per patient, ages, sexes and views by split, as far as any of them are known."""
    each = splits.values()
    panels: list[Callable[[Axes, Splits], None]] = []
    if any(split["images_per_patient"] for split in each):
        panels.append(_images_per_patient)
    if any(split["ages"]["histogram"] for split in each):
        panels.append(_ages)
    for key, title in (("sex", "Sex"), ("view_position", "View position")):
        if any(set(split[key]) - {NOT_KNOWN} for split in each):
            panels.append(functools.partial(_shares, key=key, title=title))
    rows = max(1, -(-len(panels) // 2))
    with figure(10, 3.3 * rows, target, vector) as drawing:
        if not panels:
            empty_note(drawing.add_subplot(), "patients, ages, sexes and view positions are not known")
        for number, draw in enumerate(panels, start=1):
            draw(drawing.add_subplot(rows, min(2, len(panels)), number), splits)


def intensity(splits: Splits, means: Mapping[str, NDArray[np.float64]], target: IO[bytes]) -> None:
    """Draws, as PNG, the histogram of grey values and the mean image of each split."""
    with figure(10, 6.4, target) as drawing:
        rows = drawing.add_gridspec(2, len(means), height_ratios=(1, 1.25))
        _grey_values(drawing.add_subplot(rows[0, :]), splits)
        for i, (name, mean) in enumerate(means.items()):
            axes = drawing.add_subplot(rows[1, i], title=f"Mean image, {name}")
            axes.imshow(mean, cmap="gray", vmin=0, vmax=255)
            axes.axis("off")


def grey_values(splits: Splits, target: IO[bytes], vector: IO[bytes] | None = None) -> None:
    """Draws, as PNG and SVG, the histogram of grey values of each split."""
    with figure(10, 3.2, target, vector) as drawing:
        _grey_values(drawing.add_subplot(), splits)


def png_of(mean: NDArray[np.float64]) -> bytes:
    """Returns a mean image, 0 to 255, as PNG."""
    made = io.BytesIO()
    Image.fromarray(np.rint(mean).astype(np.uint8)).save(made, format="png")
    return made.getvalue()


def _grey_values(axes: Axes, splits: Splits) -> None:
    """Draws histograms. Black and white alone, of borders and markers, may be far above the rest: they are written."""
    axes.set(title="Grey values", xlabel="grey value", ylabel="% of the pixels")
    inner, ends = 0.0, []
    for name, split in splits.items():
        counts = np.array(split["intensity"]["histogram"], dtype=float)
        shares = 100 * counts / counts.sum()
        axes.plot(shares, color=_colour(name), linewidth=1.3, label=name)
        inner = max(inner, shares[1:-1].max())
        ends.append((name, shares[0], shares[-1]))
    highest = max(max(low, high) for _, low, high in ends)
    cut = inner > 0 and highest > _CRUSHING * inner
    axes.set(xlim=(0, 255), ylim=(0, 1.1 * inner if cut else None))
    if cut:
        said = "; ".join(f"{name} {low:.1f} % and {high:.1f} %" for name, low, high in ends)
        axes.set_title(f"black (0) and white (255): {said}", loc="right", fontsize=8, fontweight="normal")
    axes.legend()


def _images_per_patient(axes: Axes, splits: Splits) -> None:
    axes.set(title="Patients with at least so many images", xlabel="images", ylabel="% of the patients")
    most = 0
    for name, split in splits.items():
        if split["images_per_patient"] is None:
            continue
        histogram = {int(images): n for images, n in split["images_per_patient"]["histogram"].items()}
        patients_with = [histogram.get(images, 0) for images in range(1, max(histogram) + 1)]
        at_least = np.cumsum(patients_with[::-1])[::-1]
        # The step of each number is centred at its tick.
        axes.stairs(
            100 * at_least / at_least[0], np.arange(len(at_least) + 1) + 0.5,
            color=_colour(name), linewidth=1.4, label=name,
        )  # fmt: skip
        most = max(most, len(at_least))
    axes.set(xlim=(0.5, most + 0.5), ylim=(0, 102))
    if most > _MOST_LINEAR:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()


def _ages(axes: Axes, splits: Splits) -> None:
    axes.set(title="Ages", xlabel="years", ylabel="% of the images with a known age")
    for name, split in splits.items():
        histogram = {int(start): n for start, n in split["ages"]["histogram"].items()}
        if histogram:
            starts = np.arange(min(histogram), max(histogram) + AGE_BIN, AGE_BIN)
            counts = np.array([histogram.get(int(start), 0) for start in starts])
            edges = np.append(starts, starts[-1] + AGE_BIN)
            axes.stairs(100 * counts / counts.sum(), edges, color=_colour(name), linewidth=1.4, label=name)
    axes.set_ylim(0, None)
    axes.legend()


def _shares(axes: Axes, splits: Splits, key: str, title: str) -> None:
    """Draws one stacked bar for each split."""
    axes.set(title=title, xlabel="% of the images")
    totals: dict[str, int] = {}
    for split in splits.values():
        for value, n in split[key].items():
            totals[value] = totals.get(value, 0) + n
    values = sorted(totals, key=lambda value: (-totals[value], value))
    colours = [*COLOURS, GREY]
    for i, name in enumerate(splits):
        left = 0.0
        for number, value in enumerate(values):
            share = 100 * splits[name][key].get(value, 0) / splits[name]["images"]
            label = display_name(value) if i == 0 else None
            axes.barh(
                i, share, left=left, height=0.6, color=colours[min(number, len(COLOURS))], alpha=0.75, label=label
            )
            if share >= 7:
                axes.text(left + share / 2, i, f"{share:.0f} %", ha="center", va="center", fontsize=8, color=ON_COLOUR)
            left += share
    axes.set_yticks(range(len(splits)), list(splits))
    axes.set(xlim=(0, 100), ylim=(len(splits) - 0.5, -0.5))
    axes.grid(axis="y", visible=False)
    axes.legend(ncols=4, loc="upper left", bbox_to_anchor=(0, -0.18))


def _colour(split: str) -> str:
    return COLOURS[SPLITS.index(split)]
