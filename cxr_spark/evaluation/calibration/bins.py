"""Counts how well probabilities fit the labels, before and after calibration. This runs on executors, without Spark.

Sums are of integers (probabilities in units of 2^-40), so that they do not depend on how images are spread over
machines. Each differs from the exact sum by less than 2^-41 an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.evaluation.calibration.temperature import CELLS, cells_of
from cxr_spark.evaluation.reading.images import matrix_of

#: The number of bins of a reliability curve, of equal width in the probability. Each holds its upper edge.
BINS = 10
#: One unit of a sum of probabilities.
UNIT = 2.0**-40
#: Integers as bytes: what a task counted.
COUNTED = pa.schema([pa.field("counted", pa.binary(), nullable=False)])


class Fitted(Protocol):
    """What was fitted on validation images for all findings: temperatures or curves. Spark sends it to executors."""

    def __call__(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns calibrated probabilities: both of shape (images, findings)."""

    def facts(self, finding: int) -> Mapping[str, Any] | None:
        """Returns what was fitted for the finding in a place, as JSON values; None where nothing was."""


@dataclass(frozen=True)
class CellCounter:
    """Counts images by the cell of their logit, to fit temperatures or curves. Spark sends it to the executors.

    Attributes:
        findings: the number of findings.
    """

    findings: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what it counts: label (absent, present), finding, cell."""
        return (2, self.findings, CELLS)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Takes rows of `images.IMAGES`, all labelled, and yields one row of `COUNTED`."""
        total = np.zeros(self.shape, np.int64)
        for batch in batches:
            labels, scores = _labels_and_scores(batch, self.findings)
            for finding in range(self.findings):
                known = ~np.isnan(labels[:, finding])
                cells, present = cells_of(scores[known, finding]), labels[known, finding] == 1
                for value in (0, 1):
                    total[value, finding] += np.bincount(cells[present == bool(value)], minlength=CELLS)
        yield pa.RecordBatch.from_pylist([{"counted": total.tobytes()}], schema=COUNTED)


@dataclass(frozen=True)
class BinCounter:
    """Counts the bins of reliability curves, before and after calibration. Spark sends it to the executors.

    Attributes:
        findings: the number of findings.
        fitted: what changes the probabilities; None where nothing was fitted, so that they stay as they are.
    """

    findings: int
    fitted: Fitted | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what it counts.

        Its axes are: before and after; finding; images, positives, sum of probabilities and sum of squared errors, both
        in `UNIT`; bin.
        """
        return (2, self.findings, 4, BINS)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Takes rows of `images.IMAGES`, all labelled, and yields one row of `COUNTED`."""
        total = np.zeros(self.shape, np.int64)
        for batch in batches:
            labels, scores = _labels_and_scores(batch, self.findings)
            for when, probabilities in enumerate((scores, scores if self.fitted is None else self.fitted(scores))):
                for finding in range(self.findings):
                    known = ~np.isnan(labels[:, finding])
                    total[when, finding] += _bins(probabilities[known, finding], labels[known, finding])
        yield pa.RecordBatch.from_pylist([{"counted": total.tobytes()}], schema=COUNTED)


def _labels_and_scores(batch: pa.RecordBatch, findings: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    images = pa.Table.from_batches([batch])
    return matrix_of(images, "labels", findings), matrix_of(images, "scores", findings)


def _bins(probabilities: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.int64]:
    place = np.searchsorted(np.arange(1, BINS) / BINS, probabilities)
    values = (
        np.ones(labels.size, np.int64),
        labels.astype(np.int64),
        np.rint(probabilities / UNIT).astype(np.int64),
        np.rint((probabilities - labels) ** 2 / UNIT).astype(np.int64),
    )
    counted = np.zeros((len(values), BINS), np.int64)
    for row, value in zip(counted, values, strict=True):
        np.add.at(row, place, value)
    return counted
