"""Which sign each of NIH's 14 findings is drawn with, and the boxes around what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from cxr_spark.sample_data import signs
from cxr_spark.sample_data.anatomy import Anatomy
from cxr_spark.sample_data.signs import Places
from cxr_spark.sample_data.thorax import Map, Scene


class Box(NamedTuple):
    """The place of a finding, in fractions of the picture's side."""

    x: float
    y: float
    width: float
    height: float


class Pattern(NamedTuple):
    """How a finding is drawn.

    Attributes:
        draw: the function that paints the sign and returns its places.
        reshape: the function that changes the anatomy before it is drawn; None where the finding changes nothing.
    """

    draw: Callable[[Scene, int, np.random.Generator], Places]
    reshape: Callable[[Anatomy, int], Anatomy] | None = None


def reshaped(anatomy: Anatomy, sides: Mapping[str, int]) -> Anatomy:
    """Returns the anatomy as all findings change it.

    Args:
        anatomy: the anatomy of a healthy patient.
        sides: the lung of each finding: -1 for the right one, +1 for the left one.
    """
    for finding, side in sides.items():
        change = PATTERNS[finding].reshape
        anatomy = change(anatomy, side) if change else anatomy
    return anatomy


def draw(scene: Scene, sides: Mapping[str, int], rng: np.random.Generator) -> list[tuple[str, Box]]:
    """Draws findings into a scene.

    Args:
        scene: a thorax with the anatomy that `reshaped` gave.
        sides: the lung of each finding: -1 for the right one, +1 for the left one.
        rng: the generator that draws places, sizes and shapes.

    Returns:
        The boxes, each with the name of its finding.
    """
    boxes = []
    for finding in sorted(sides, key=list(PATTERNS).index):
        for place in PATTERNS[finding].draw(scene, sides[finding], rng):
            box = _box(place)
            if box is not None:
                boxes.append((finding, box))
    return boxes


def _box(place: Map) -> Box | None:
    """Returns the box around all pixels that are at least half as strong as the strongest; None for an empty place."""
    strong = place > 0.5 * place.max() if place.max() > 0 else np.zeros_like(place, dtype=bool)
    rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
    if not len(rows):
        return None
    left, top = columns[0], rows[0]
    size = place.shape[0]
    return Box(left / size, top / size, (columns[-1] + 1 - left) / size, (rows[-1] + 1 - top) / size)


#: The patterns in the order of drawing: a sign that covers others comes last.
PATTERNS: Mapping[str, Pattern] = MappingProxyType(
    {
        "Cardiomegaly": Pattern(signs.cardiomegaly, signs.large_heart),
        "Emphysema": Pattern(signs.emphysema, signs.overinflated),
        "Edema": Pattern(signs.edema),
        "Infiltration": Pattern(signs.infiltration),
        "Consolidation": Pattern(signs.consolidation),
        "Pneumonia": Pattern(signs.pneumonia),
        "Fibrosis": Pattern(signs.fibrosis),
        "Atelectasis": Pattern(signs.atelectasis, signs.raised_on_one_side),
        "Mass": Pattern(signs.mass),
        "Nodule": Pattern(signs.nodule),
        "Pleural_Thickening": Pattern(signs.pleural_thickening),
        "Pneumothorax": Pattern(signs.pneumothorax),
        "Effusion": Pattern(signs.effusion),
        "Hernia": Pattern(signs.hernia),
    }
)
