"""Counts what a model's decisions get right and wrong. This runs on executors; nothing here needs Spark.

A decision depends on scores alone. Where each image has one label, it is the class with the highest score, and the
first of equal ones. Otherwise a finding is called present where its score is at or above a threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.evaluation.reading.images import matrix_of

#: The column of the counts of some images: the arrays of a `Tally` one after the other, int64 as bytes.
TALLIES = pa.schema([pa.field("tally", pa.binary(), nullable=False)])


@dataclass(frozen=True)
class Tally:
    """The counts of some images.

    Attributes:
        by_finding: int64 of shape (rules, findings, 4): true positives, false positives, false negatives and true
            negatives at each rule's thresholds, images with a known label only.
        confusion: int64 of shape (findings, findings): the images with exactly one label, by their class (row) and the
            class that they were taken for (column).
    """

    by_finding: NDArray[np.int64]
    confusion: NDArray[np.int64]

    @classmethod
    def zero(cls, rules: int, findings: int) -> Tally:
        """Returns the counts of no images."""
        return cls(np.zeros((rules, findings, 4), np.int64), np.zeros((findings, findings), np.int64))

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.by_finding + other.by_finding, self.confusion + other.confusion)

    def to_bytes(self) -> bytes:
        """Returns both arrays as bytes."""
        return self.by_finding.tobytes() + self.confusion.tobytes()

    def add_bytes(self, data: bytes) -> Tally:
        """Returns the sum with counts of the same shape, given as bytes."""
        values = np.frombuffer(bytes(data), np.int64)
        cut = self.by_finding.size
        return self + Tally(values[:cut].reshape(self.by_finding.shape), values[cut:].reshape(self.confusion.shape))


@dataclass(frozen=True)
class Counter:
    """Counts the decisions on images. Spark sends it to the executors.

    Attributes:
        thresholds: float64 of shape (rules, findings), the threshold of each rule for each finding.
    """

    thresholds: NDArray[np.float64]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Takes rows of `images.IMAGES`, all labelled, and yields one row of `TALLIES`."""
        rules, findings = self.thresholds.shape
        total = Tally.zero(rules, findings)
        for batch in batches:
            images = pa.Table.from_batches([batch])
            total += self.count(matrix_of(images, "labels", findings), matrix_of(images, "scores", findings))
        yield pa.RecordBatch.from_pylist([{"tally": total.to_bytes()}], schema=TALLIES)

    def count(self, labels: NDArray[np.float64], scores: NDArray[np.float64]) -> Tally:
        """Counts some images.

        Args:
            labels: shape (images, findings): 1 for present, 0 for absent, NaN for not known.
            scores: an array of the same shape.
        """
        tally = Tally.zero(*self.thresholds.shape)
        present, absent = labels == 1, labels == 0
        for rule, thresholds in enumerate(self.thresholds):
            called = scores >= thresholds
            outcomes = (present & called, absent & called, present & ~called, absent & ~called)
            tally.by_finding[rule] = np.stack([outcome.sum(axis=0) for outcome in outcomes], axis=1)
        of_one = present.sum(axis=1) == 1
        if of_one.any():
            pairs = (present[of_one].argmax(axis=1), scores[of_one].argmax(axis=1))
            np.add.at(tally.confusion, pairs, 1)
        return tally
