"""Isotonic regression: the monotone function of the logit that fits the labels of the validation images best.

Source: Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD 2002,
for one finding at a time, by scikit-learn's `IsotonicRegression`. It bends probabilities in ways that a temperature
cannot, and follows chance where images are few. Images on one of its steps become equal, so it can change an AUC a
little. Nothing here needs Spark; scikit-learn is needed to fit, and not to apply what was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.evaluation.calibration.temperature import logits_of, middles

#: With fewer validation images than this the fit is told to be uncertain (scikit-learn's user guide, "Probability
#: calibration": isotonic regression tends to over-fit with far fewer than 1,000).
FEW_IMAGES = 1000
#: The same for the images of the rarer class. In a simulation of ours (AUC 0.80; 2 % and 10 % of the images positive)
#: the root mean square error of the fitted probabilities was 0.4 to 0.7 times the prevalence at 100 positives, and 1 to
#: 1.3 times at 10.
FEW_OF_A_CLASS = 100


@dataclass(frozen=True)
class MonotoneCurve:
    """What was fitted for one finding: straight lines between points, and constant beyond the first and the last.

    Attributes:
        logits: float64 of shape (points,), rising.
        probabilities: float64 of the same shape, never falling.
    """

    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    @property
    def levels(self) -> int:
        """The number of different probabilities at its points. One level says that scores do not rise with labels."""
        return int(np.unique(self.probabilities).size)


@dataclass(frozen=True)
class IsotonicCurves:
    """The curves of all findings.

    Attributes:
        curves: one for each finding; None where a class was empty, so that none could be fitted.
    """

    curves: Sequence[MonotoneCurve | None]

    @classmethod
    def fitted(cls, negative: NDArray[np.int64], positive: NDArray[np.int64]) -> IsotonicCurves:
        """Fits the curve of each finding.

        An image counts with the logit in the middle of its cell, which is 0.002 from its own at most.

        Args:
            negative: int64 of shape (findings, `temperature.CELLS`), the images without the finding by cell.
            positive: an array of the same shape, the images with it.
        """
        return cls(tuple(_fit(absent, present) for absent, present in zip(negative, positive, strict=True)))

    def __call__(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns probabilities after the curves: both of shape (images, findings); as they are without a curve."""
        changed: NDArray[np.float64] = probabilities.copy()
        logits = logits_of(probabilities)
        for place, curve in enumerate(self.curves):
            if curve is not None:
                changed[:, place] = np.interp(logits[:, place], curve.logits, curve.probabilities)
        return changed

    def facts(self, finding: int) -> Mapping[str, Any] | None:
        """Returns what was fitted for the finding in a place, as JSON values; None where nothing was."""
        curve = self.curves[finding]
        if curve is None:
            return None
        return {
            "levels": curve.levels,
            "isotonic": {"logits": curve.logits.tolist(), "probabilities": curve.probabilities.tolist()},
        }


def _fit(absent: NDArray[np.int64], present: NDArray[np.int64]) -> MonotoneCurve | None:
    if not absent.any() or not present.any():
        return None
    from sklearn.isotonic import IsotonicRegression

    there = np.flatnonzero(absent + present)
    n = absent[there] + present[there]
    regression = IsotonicRegression(y_min=0, y_max=1, increasing=True)
    regression.fit(middles()[there], present[there] / n, sample_weight=n)
    return MonotoneCurve(
        np.asarray(regression.X_thresholds_, np.float64), np.asarray(regression.y_thresholds_, np.float64)
    )
