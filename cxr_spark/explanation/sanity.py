"""Whether maps depend on what the network has learnt: what the sanity check finds, in numbers and in words. No torch.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018 (arXiv:1810.03292): a map that stays the same when the
weights are replaced by random ones, from the output down to the input, shows edges of the image and not what the model
knows. They compare maps by Spearman's rank correlation, among others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Of how many draws of random weights each serves a part of the images: one draw alone may happen to give no maps.
DRAWS = 4
#: Maps of a network with random weights that correlate by more than this with those of the model are warned of.
STILL_ALIKE = 0.5
#: With fewer pairs of maps than this the mean says too little to warn by.
FEWEST = 5
#: What is told where nothing could be compared.
UNREAD = "Maps were not compared with those of random weights: none of the images drawn for that could be read."
DEFINITIONS = {
    "stages": "the weights are random from the output down to this block; those of batch norms with their statistics",
    "random": "fraction of the parameters that are random",
    "mean_abs_correlation": "mean over images of the absolute value of Spearman's rank correlation, over the cells of "
    "the map, between the map of the model and that of the network with random weights (Adebayo et al., NeurIPS 2018)",
    "images": "images whose two maps have ranks: neither is the same everywhere, as one without any evidence is, and "
    "neither holds what is no finite number",
    "by_chance": "about the same mean for maps whose cells have nothing to do with each other, sqrt(2 / (pi (cells - "
    "1))); in real maps neighbouring cells are alike, so that maps that have nothing in common give more",
    "limit": f"the mean of the last stage is warned of above it, where there are {FEWEST} images or more: "
    f"{STILL_ALIKE}, or twice what chance gives if that is more; null where no correlation can be above it",
}


@dataclass(frozen=True)
class CheckedMaps:
    """What the task of the sanity check found.

    Attributes:
        names: the names of the compared images.
        findings: for each image the finding whose map was compared.
        cells: the height and the width of a map.
        blocks: the name of each block, the head's first, and the fraction of parameters that are random from there up.
        correlations: for each block the rank correlation of each image; None where it is not defined.
    """

    names: tuple[str, ...]
    findings: tuple[str, ...]
    cells: tuple[int, int]
    blocks: tuple[tuple[str, float], ...]
    correlations: tuple[tuple[float | None, ...], ...]

    @property
    def images(self) -> int:
        """The number of images."""
        return len(self.names)


def summary_of(checked: CheckedMaps, about: dict[str, Any]) -> dict[str, Any]:
    """Returns the content of `sanity.json`.

    Args:
        checked: what was found.
        about: the model, the method and the seed that the numbers belong to.
    """
    n_cells = math.prod(checked.cells)
    by_chance = math.sqrt(2 / (math.pi * (n_cells - 1))) if n_cells > 1 else None
    stages = [
        {"block": block, "random": share, **_mean(found)}
        for (block, share), found in zip(checked.blocks, checked.correlations, strict=True)
    ]
    images = [
        {
            "image_index": name,
            "finding": finding,
            "correlations": [found[place] for found in checked.correlations],
        }
        for place, (name, finding) in enumerate(zip(checked.names, checked.findings, strict=True))
    ]
    limit = _limit(by_chance)
    found = {**about, "cells": list(checked.cells), "by_chance": by_chance, "limit": limit, "stages": stages}
    return {**found, "warning": _warning(stages[-1], limit), "definitions": DEFINITIONS, "images": images}


def by_block(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """Returns the mean absolute correlation by block, from the content of `sanity.json`."""
    return {stage["block"]: stage["mean_abs_correlation"] for stage in summary["stages"]}


def in_words(summary: Mapping[str, Any]) -> str:
    """Returns what the whole check comes to, in a sentence or two, from the content of `sanity.json`."""
    last, chance = summary["stages"][-1], summary["by_chance"]
    mean = last["mean_abs_correlation"]
    if chance is None:
        return "The maps of this network have one cell, so that there is nothing to compare."
    if mean is None:
        return (
            "With random weights in the whole network there is nothing to compare: of each image, one of the two maps "
            "is the same everywhere or holds what is no finite number."
        )
    told = f"With random weights in the whole network, the correlation is {mean:.2f} in the mean over "
    told += f"{_images(last['images'])}. Maps whose cells have nothing to do with each other give about {chance:.2f}; "
    told += "neighbouring cells are alike in all maps, so that maps that have nothing in common give more."
    if last["images"] < FEWEST:
        told += f" That is too few maps to judge by: expected {FEWEST} at least, so ask for more by --sanity."
    if _few(chance):
        cells = math.prod(summary["cells"])
        told += f" Maps of {cells} cells are too coarse to say more: images of a larger size have finer ones."
    return told


def _mean(correlations: Sequence[float | None]) -> dict[str, Any]:
    known = [abs(value) for value in correlations if value is not None]
    return {"mean_abs_correlation": float(np.mean(known)) if known else None, "images": len(known)}


def _few(by_chance: float) -> bool:
    """Whether maps have so few cells that chance alone can bring them near to what is warned of."""
    return 2 * by_chance > STILL_ALIKE


def _limit(by_chance: float | None) -> float | None:
    """Returns the correlation above which is warned; None where none can be above it."""
    limit = 1.0 if by_chance is None else max(STILL_ALIKE, 2 * by_chance)
    return limit if limit < 1 else None


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number:,} images"


def _warning(last: Mapping[str, Any], limit: float | None) -> str | None:
    mean, images = last["mean_abs_correlation"], last["images"]
    if mean is None or limit is None or images < FEWEST or mean <= limit:
        return None
    return (
        f"The maps hardly depend on what the model has learnt: with random weights in the whole network those of "
        f"{_images(images)} still correlate by {mean:.2f} with those of the model (more than {limit:.2f} is too much): "
        "do not take them for the model's reasons."
    )
