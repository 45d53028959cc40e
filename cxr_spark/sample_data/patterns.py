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
    """Where a finding is, in fractions of the picture's side."""

    x: float
    y: float
    width: float
    height: float


class Pattern(NamedTuple):
    """How a finding is drawn.

    Attributes:
        draw: paints the sign and returns where it is.
        reshape: changes the anatomy before it is drawn; None where the finding does not.
    """

    draw: Callable[[Scene, int, np.random.Generator], Places]
    reshape: Callable[[Anatomy, int], Anatomy] | None = None


def reshaped(anatomy: Anatomy, sides: Mapping[str, int]) -> Anatomy:
    """Returns the anatomy with all findings; `sides` has for each the lung that it is in."""
    for finding, side in sides.items():
        change = PATTERNS[finding].reshape
        anatomy = change(anatomy, side) if change else anatomy
    return anatomy


def draw(scene: Scene, sides: Mapping[str, int], rng: np.random.Generator) -> list[tuple[str, Box]]:
    """Draws findings into a scene.

    Args:
        scene: a thorax of the anatomy that `reshaped` gave.
        sides: the findings, and for each the lung that it is in: -1 the right one, +1 the left.
        rng: draws places, sizes and shapes.

    Returns:
        Each finding's boxes.
    """
    boxes = []
    for finding in sorted(sides, key=list(PATTERNS).index):
        for place in PATTERNS[finding].draw(scene, sides[finding], rng):
            box = _box(place)
            if box is not None:
                boxes.append((finding, box))
    return boxes


def _box(place: Map) -> Box | None:
    """Returns the box of all that is at least half as strong as the strongest; None for an empty place."""
    strong = place > 0.5 * place.max() if place.max() > 0 else np.zeros_like(place, dtype=bool)
    rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
    if not len(rows):
        return None
    left, top = columns[0], rows[0]
    size = place.shape[0]
    return Box(left / size, top / size, (columns[-1] + 1 - left) / size, (rows[-1] + 1 - top) / size)


#: In the order of drawing: what lies over the rest comes last.
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
