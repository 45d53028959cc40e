"""Counts decisions in every replicate of the bootstrap over patients. This runs on executors; nothing needs Spark.

The counts of a replicate are sums over patients of their own counts times their weight: one product of matrices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.evaluation.counting.bootstrap import poisson_weights
from cxr_spark.evaluation.reading.images import matrix_of

#: The counts of some images, int64 as bytes.
RESAMPLED = pa.schema([pa.field("counts", pa.binary(), nullable=False)])
#: The replicates that are counted at once.
_AT_ONCE = 256


@dataclass(frozen=True)
class ResampledCounter:
    """Counts decisions. Spark sends it to the executors.

    Attributes:
        thresholds: float64 of shape (rules, findings); infinite where a rule has none, so that nothing is called.
        replicates: the number of replicates beside the sample itself.
        seed: the seed of the bootstrap.
    """

    thresholds: NDArray[np.float64]
    replicates: int
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what it counts: replicate (the first is the sample), `2 * rules + 2` counts, finding.

        The counts are the positives, the negatives, then the true and the false positives of each rule.
        """
        rules, findings = self.thresholds.shape
        return (self.replicates + 1, 2 + 2 * rules, findings)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Takes rows of `images.IMAGES`, all labelled, and yields one row of `RESAMPLED`."""
        total = np.zeros(self.shape, np.int64)
        findings = self.thresholds.shape[1]
        for batch in batches:
            images = pa.Table.from_batches([batch])
            labels, scores = matrix_of(images, "labels", findings), matrix_of(images, "scores", findings)
            self.add(total, labels, scores, images.column("patient").to_numpy())
        yield pa.RecordBatch.from_pylist([{"counts": total.tobytes()}], schema=RESAMPLED)

    def add(
        self,
        total: NDArray[np.int64],
        labels: NDArray[np.float64],
        scores: NDArray[np.float64],
        patients: NDArray[np.int64],
    ) -> None:
        """Adds the counts of some images to `total`, which has the shape of this counter."""
        present, absent = labels == 1, labels == 0
        marks = [present, absent]
        for thresholds in self.thresholds:
            called = scores >= thresholds
            marks += [present & called, absent & called]
        order = np.argsort(patients, kind="stable")
        keys, starts = np.unique(patients[order], return_index=True)
        # A batch has fewer than 2^24 images times their weights: float32 holds every count exactly.
        wide = np.concatenate(marks, axis=1)[order]
        by_patient = np.add.reduceat(wide, starts, axis=0, dtype=np.float32)
        for first in range(0, self.replicates + 1, _AT_ONCE):
            stop = min(first + _AT_ONCE, self.replicates + 1)
            weights = poisson_weights(keys, self.seed, first, stop).astype(np.float32)
            total[first:stop] += np.rint(weights.T @ by_patient).astype(np.int64).reshape(total[first:stop].shape)
