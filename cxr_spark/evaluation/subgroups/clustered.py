"""Differences of a group of images from all other images, with variances that know that patients have several images.

The AUC is a mean over pairs; what an image adds to it is known in closed form (DeLong, DeLong and Clarke-Pearson,
Biometrics 44, 1988). Those parts are summed for each patient, and the variance is that of the patients' sums
(Obuchowski, Biometrics 53, 1997). With one image a patient it is DeLong's variance. A false-negative rate is treated in
the same way. No replicate is drawn, so that some hundred groups and findings take a fraction of a second. Nothing here
needs Spark.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """A number of a group and of the rest.

    Attributes:
        inside: the number of the images in the group.
        outside: the number of the other images.
        parts: shape (patients,), what each patient adds to the error of `inside - outside`.
    """

    inside: float
    outside: float
    parts: _Floats

    @property
    def away(self) -> float:
        """The difference."""
        return self.inside - self.outside

    @property
    def variance(self) -> float:
        """Its variance."""
        return float(self.parts @ self.parts)


@dataclass(frozen=True)
class Ranked:
    """The images of one finding, so prepared that any group of them can be measured in one pass.

    Attributes:
        labels: shape (n,), whether the finding is present, by rising score.
        order: shape (n,), which of the given images each is.
        patients: shape (n,), the place of each image's patient.
        n_patients: the number of patients.
        lower: shape (n,), for each image the number of images below it.
        upper: shape (n,), for each image the number of images at or below it.
        missed: shape (n,), whether the image has the finding and scores below the threshold.
    """

    labels: _Flags
    order: NDArray[np.int64]
    patients: NDArray[np.int64]
    n_patients: int
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    missed: _Flags

    @classmethod
    def of(
        cls, scores: _Floats, labels: _Flags, patients: NDArray[np.int64], n_patients: int, threshold: float
    ) -> Ranked:
        """Sorts images.

        Args:
            scores: shape (n,).
            labels: shape (n,), whether the finding is present.
            patients: shape (n,), the places of the patients, from 0.
            n_patients: the number of patients.
            threshold: the score from which an image is called positive.
        """
        order = np.argsort(scores, kind="stable")
        ordered = scores[order]
        lower, upper = np.searchsorted(ordered, ordered, "left"), np.searchsorted(ordered, ordered, "right")
        missed = labels[order] & (ordered < threshold)
        return cls(labels[order], order, patients[order], n_patients, lower, upper, missed)

    def auc_difference(self, member: _Flags) -> Difference | None:
        """Compares the AUC of a group with that of the rest.

        Args:
            member: shape (n,), whether each image, in the order given, is in the group.

        Returns:
            None where the group or the rest has fewer than two patients of either class.
        """
        member = member[self.order]
        inside, outside = self._auc_parts(member), self._auc_parts(~member)
        if inside is None or outside is None:
            return None
        return Difference(inside[0], outside[0], self._by_patient(inside[1] - outside[1]))

    def missed_difference(self, member: _Flags) -> Difference | None:
        """Compares the false-negative rate of a group with that of the rest, like `auc_difference`."""
        member = member[self.order]
        found = []
        for images in (member, ~member):
            positive = self.labels & images
            if positive.sum() < 2:
                return None
            rate = self.missed[positive].mean()
            parts = np.where(positive, self.missed - rate, 0.0) / positive.sum()
            found.append((float(rate), parts * self._correction(positive)))
        (inside, one), (outside, other) = found
        return Difference(inside, outside, self._by_patient(one - other))

    def _auc_parts(self, images: _Flags) -> tuple[float, _Floats] | None:
        """Returns the AUC of some images and what each adds to its error."""
        positive, negative = self.labels & images, ~self.labels & images
        n_positive, n_negative = int(positive.sum()), int(negative.sum())
        if min(n_positive, n_negative) < 2:
            return None
        positives, negatives = (np.concatenate([[0], np.cumsum(kind)]) for kind in (positive, negative))
        below = (negatives[self.lower] + negatives[self.upper]) / (2 * n_negative)
        above = 1 - (positives[self.lower] + positives[self.upper]) / (2 * n_positive)
        auc = float(below[positive].mean())
        parts = np.where(positive, (below - auc) / n_positive * self._correction(positive), 0.0)
        return auc, parts + np.where(negative, (above - auc) / n_negative * self._correction(negative), 0.0)

    def _correction(self, images: _Flags) -> float:
        """Returns the square root of n / (n - 1) with the number of patients of some images."""
        patients = np.count_nonzero(np.bincount(self.patients[images]))
        return float(np.sqrt(patients / (patients - 1))) if patients > 1 else 1.0

    def _by_patient(self, parts: _Floats) -> _Floats:
        return np.bincount(self.patients, weights=parts, minlength=self.n_patients).astype(np.float64)


def mean_of(differences: list[Difference]) -> Difference | None:
    """Returns the mean over findings, whose errors belong to the same patients; None where there are no findings."""
    if not differences:
        return None
    return Difference(
        float(np.mean([each.inside for each in differences])),
        float(np.mean([each.outside for each in differences])),
        np.mean([each.parts for each in differences], axis=0),
    )
