"""The proportions of a thorax: where heart, lungs and diaphragm are in one patient's picture.

Positions are fractions of the picture's side. `x` counts from the patient's midline to the right of the picture, `y`
down from the top. As in every radiograph the patient's right is on the left of the picture, so `side` is -1 for the
right lung and +1 for the left one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

SIDES = (-1, 1)
_LUNG_AIR = 0.40


@dataclass(frozen=True)
class Anatomy:
    """The proportions of one patient on one picture.

    Attributes:
        lung_width: the largest distance of the outer lung border from the midline.
        diaphragm: the height of the tops of the two domes, first right, then left.
        dome: the drop of the diaphragm from its top to the costophrenic angle.
        heart: half the width and half the height of the heart.
        heart_x: the distance of the heart's middle from the midline, to the patient's left.
        air: the difference in brightness between soft tissue and lungs.
        vessels: the strength of the lung's vessel markings.
        breasts: the strength of the breasts' shadows, 0 for none.
    """

    lung_width: float = 0.36
    diaphragm: tuple[float, float] = (0.755, 0.785)
    dome: float = 0.105
    heart: tuple[float, float] = (0.135, 0.135)
    heart_x: float = 0.045
    air: float = _LUNG_AIR
    vessels: float = 1.0
    breasts: float = 0.0

    @classmethod
    def of_patient(cls, rng: np.random.Generator, female: bool) -> Anatomy:
        """Draws a healthy patient."""
        level = float(rng.normal(0, 0.012))
        return cls(
            lung_width=float(rng.uniform(0.345, 0.375)),
            diaphragm=(0.755 + level, 0.785 + level + float(rng.normal(0, 0.006))),
            dome=float(rng.uniform(0.095, 0.115)),
            heart=(float(rng.uniform(0.122, 0.142)), float(rng.uniform(0.125, 0.145))),
            heart_x=float(rng.uniform(0.04, 0.055)),
            vessels=float(rng.uniform(0.7, 1.2)),
            breasts=float(rng.uniform(0.04, 0.09)) if female else 0.0,
        )

    def lying(self) -> Anatomy:
        """Returns the anatomy as a bedside picture (AP) shows it: with less air and a larger heart."""
        right, left = self.diaphragm
        return replace(
            self,
            diaphragm=(right - 0.015, left - 0.015),
            heart=(self.heart[0] * 1.07, self.heart[1]),
            air=self.air - 0.02,
        )

    def with_raised_diaphragm(self, side: int, by: float) -> Anatomy:
        """Returns the anatomy with one dome higher up."""
        right, left = self.diaphragm
        return replace(self, diaphragm=(right - by, left) if side < 0 else (right, left - by))
