"""Differences of a group of images from all other images, with variances that allow for several images of a patient.

The AUC is a mean over pairs; what an image adds to it is known in closed form (DeLong, DeLong and Clarke-Pearson,
Biometrics 44, 1988). Those parts are summed for each patient, and the variance is that of the patients' sums
(Obuchowski, Biometrics 53, 1997). With one image a patient it is DeLong's variance. A false-negative rate is treated in
the same way. No replicate is drawn, so that some hundred groups and findings take a fraction of a second. Nothing here
needs Spark.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]
_Places = NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """A number of a group and of the rest.

    Attributes:
        inside: the number of the images in the group.
        outside: the number of the other images.
        parts_inside: shape (patients,), what each patient adds to the error of `inside`.
        parts_outside: shape (patients,), what each patient adds to the error of `outside`.
    """

    inside: float
    outside: float
    parts_inside: _Floats
    parts_outside: _Floats

    @property
    def away(self) -> float:
        """The difference."""
        return self.inside - self.outside

    @property
    def variance(self) -> float:
        """The variance of the difference."""
        parts = self.parts_inside - self.parts_outside
        return float(parts @ parts)

    @property
    def variance_inside(self) -> float:
        """The variance of the number of the group."""
        return float(self.parts_inside @ self.parts_inside)


@dataclass(frozen=True)
class _Class:
    """The images of one class, by rising score.

    Attributes:
        order: which of the given images each is.
        patients: the place of each image's patient.
        lower: the number of images of the other class below each image.
        upper: the number of images of the other class at or below each image.
    """

    order: _Places
    patients: _Places
    lower: _Places
    upper: _Places

    @classmethod
    def of(cls, own: _Places, other: _Places, scores: _Floats, patients: _Places) -> _Class:
        """Counts the images of the other class below each; both are given by rising score."""
        lower, upper = (np.searchsorted(scores[other], scores[own], side) for side in ("left", "right"))
        return cls(own, patients[own], lower, upper)


@dataclass(frozen=True)
class Ranked:
    """The images of one finding, so prepared that any group of them can be measured in one pass.

    Attributes:
        positive: the images with the finding.
        negative: the images without it.
        missed: whether each positive scores below the threshold.
        n_patients: the number of patients.
    """

    positive: _Class
    negative: _Class
    missed: _Flags
    n_patients: int

    @classmethod
    def of(cls, scores: _Floats, labels: _Flags, patients: _Places, n_patients: int, threshold: float) -> Ranked:
        """Sorts images.

        Args:
            scores: shape (n,).
            labels: shape (n,), whether the finding is present.
            patients: shape (n,), the places of the patients, from 0.
            n_patients: the number of patients.
            threshold: the score from which an image is called positive.
        """
        order = np.argsort(scores, kind="stable")
        positive, negative = order[labels[order]], order[~labels[order]]
        return cls(
            _Class.of(positive, negative, scores, patients),
            _Class.of(negative, positive, scores, patients),
            scores[positive] < threshold,
            n_patients,
        )

    def auc_difference(self, member: _Flags) -> Difference | None:
        """Compares the AUC of a group with that of the rest.

        Args:
            member: shape (n,), whether each image, in the order given, is in the group.

        Returns:
            None where the group or the rest has fewer than two images of either class.
        """
        positive, negative = member[self.positive.order], member[self.negative.order]
        if min(_fewest(positive), _fewest(negative)) < 2:
            return None
        # Twice the images of the other class on the right side of each: those in the group, and those in the rest.
        below, above = _twice_below(self.positive, negative), _twice_below(self.negative, positive)
        found = []
        for place, (own, other) in enumerate(((positive, negative), (~positive, ~negative))):
            n_positive, n_negative = int(own.sum()), int(other.sum())
            better = below[place][own] / (2 * n_negative)
            worse = 1 - above[place][other] / (2 * n_positive)
            auc = float(better.mean())
            parts = self._by_patient(self.positive.patients[own], (better - auc) / n_positive)
            found.append((auc, parts + self._by_patient(self.negative.patients[other], (worse - auc) / n_negative)))
        return Difference(found[0][0], found[1][0], found[0][1], found[1][1])

    def missed_difference(self, member: _Flags) -> Difference | None:
        """Compares the false-negative rate of a group with that of the rest, like `auc_difference`."""
        positive = member[self.positive.order]
        if _fewest(positive) < 2:
            return None
        found = []
        for own in (positive, ~positive):
            rate = float(self.missed[own].mean())
            found.append((rate, self._by_patient(self.positive.patients[own], (self.missed[own] - rate) / own.sum())))
        return Difference(found[0][0], found[1][0], found[0][1], found[1][1])

    def _by_patient(self, patients: _Places, parts: _Floats) -> _Floats:
        """Sums parts for each patient, times the square root of n / (n - 1) with the number n of the patients."""
        n = np.count_nonzero(np.bincount(patients))
        correction = math.sqrt(n / (n - 1)) if n > 1 else 1.0
        return np.asarray(correction * np.bincount(patients, weights=parts, minlength=self.n_patients), np.float64)


def _fewest(member: _Flags) -> int:
    inside = int(member.sum())
    return min(inside, member.size - inside)


def _twice_below(images: _Class, others: _Flags) -> tuple[_Places, _Places]:
    """Counts twice the images of the other class below each, ties once: those in the group, and the rest.

    Args:
        images: the images of one class.
        others: whether each image of the other class, by rising score, is in the group.
    """
    counted = np.zeros(others.size + 1, np.int64)
    np.cumsum(others, out=counted[1:])
    inside: _Places = counted[images.lower] + counted[images.upper]
    return inside, images.lower + images.upper - inside


def mean_of(differences: list[Difference]) -> Difference | None:
    """Returns the mean over findings, whose errors belong to the same patients; None where there are no findings."""
    if not differences:
        return None
    return Difference(
        float(np.mean([each.inside for each in differences])),
        float(np.mean([each.outside for each in differences])),
        np.mean([each.parts_inside for each in differences], axis=0),
        np.mean([each.parts_outside for each in differences], axis=0),
    )
