"""Counts the positives, negatives and pairs in one executor's part of the sorted (curve, score) pairs.

A curve is a finding, the pool of all findings, or a finding within a subgroup. A bucket is a range of the scores of one
curve. All counts are integers, so their sum does not depend on where the ranges were cut; `whole_curves.py` adds them
up. Nothing here needs Spark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.evaluation.counting import curves
from cxr_spark.evaluation.counting.bootstrap import poisson_weights
from cxr_spark.evaluation.counting.curves import Counts, F1Point, OperatingPoint
from cxr_spark.evaluation.counting.pair_counts import weighted_pair_counts

#: The columns of one image's score for one curve. `patient` is a 64-bit key.
PAIRS = pa.schema(
    [
        pa.field("curve", pa.int32(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("label", pa.bool_(), nullable=False),
        pa.field("patient", pa.int64(), nullable=False),
    ]
)
#: The columns of one bucket. The binary ones are arrays as bytes, of int64 but for the last two: counts for each
#: replicate, points of the ROC curve with their thresholds (float64), and thresholds that reach a target (float64).
BUCKETS = pa.schema(
    [
        pa.field("curve", pa.int32(), nullable=False),
        pa.field("lowest", pa.float64(), nullable=False),
        *(pa.field(name, pa.binary(), nullable=False) for name in ("positive", "negative", "twice_u")),
        *(pa.field(name, pa.binary(), nullable=False) for name in ("roc_true", "roc_false", "roc_scores")),
        pa.field("precision_sum", pa.string(), nullable=False),  # decimal: may exceed 64 bits
        *(pa.field(f"best_{name}", pa.int64(), nullable=False) for name in ("index", "true", "false")),
        pa.field("best_threshold", pa.float64(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in ("f1", "f1_threshold")),
        pa.field("targets", pa.binary(), nullable=False),  # float64: see curves.target_thresholds
    ]
)
#: The most bytes of bootstrap weights that are held at once.
_WEIGHT_BYTES = 64 << 20


@dataclass(frozen=True)
class Ranges:
    """The buckets of one curve, ascending.

    Attributes:
        lowest: float64, the smallest score of each bucket.
        positive: int64, the number of positives in each bucket.
        negative: int64, the number of negatives in each bucket.
    """

    lowest: NDArray[np.float64]
    positive: NDArray[np.int64]
    negative: NDArray[np.int64]

    @property
    def total(self) -> Counts:
        """The positives and negatives of the whole curve."""
        return Counts(int(self.positive.sum()), int(self.negative.sum()))

    def above(self, lowest: float) -> Counts:
        """Returns the positives and negatives of all buckets above the one that begins at a score.

        Raises:
            KeyError: no bucket begins there, so the pairs are not those that were counted before.
        """
        if not np.any(self.lowest == lowest):
            raise KeyError(lowest)
        higher = self.lowest > lowest
        return Counts(int(self.positive[higher].sum()), int(self.negative[higher].sum()))


@dataclass(frozen=True)
class CurveSettings:
    """Which numbers are counted for which curves.

    Attributes:
        drawn: curves whose number is below this one also get average precision, operating points and ROC points.
        replicates: the number of bootstrap replicates beside the sample itself.
        seed: the seed of the bootstrap.
    """

    drawn: int
    replicates: int
    seed: int


def count_buckets(
    pairs: pa.Table, settings: CurveSettings, ranges: Mapping[int, Ranges] | None = None
) -> Iterator[pa.RecordBatch]:
    """Counts every bucket of some pairs.

    Args:
        pairs: rows of `PAIRS` in any order, at least one: all the rows of one or more buckets.
        settings: which numbers to count.
        ranges: the buckets of every curve; None where `pairs` holds all pairs, so that each curve is one bucket.

    Yields:
        Rows of `BUCKETS`.

    Raises:
        KeyError: a bucket is not among the ranges.
    """
    columns = [pairs.column(name).to_numpy() for name in PAIRS.names]
    order = np.lexsort((columns[1], columns[0]))
    curve, score, label, patient = (column[order] for column in columns)
    starts = np.flatnonzero(np.r_[True, curve[1:] != curve[:-1]])
    slices = [slice(a, b) for a, b in zip(starts, [*starts[1:], curve.size], strict=True)]
    rows = []
    for here, counts in zip(slices, _replicate_counts(score, label, patient, slices, settings), strict=True):
        number, lowest = int(curve[here.start]), float(score[here.start])
        whole = ranges[number] if ranges is not None else _one_range(score[here], label[here])
        rows.append(
            {
                "curve": number,
                "lowest": lowest,
                **{name: n.tobytes() for name, n in zip(("positive", "negative", "twice_u"), counts, strict=True)},
                **_drawn(score[here], label[here], whole, lowest, number < settings.drawn),
            }
        )
    yield pa.RecordBatch.from_pylist(rows, schema=BUCKETS)


def _one_range(score: NDArray[np.float64], label: NDArray[np.bool_]) -> Ranges:
    positive = np.count_nonzero(label)
    return Ranges(score[:1], np.array([positive]), np.array([label.size - positive]))


def _replicate_counts(
    score: NDArray[np.float64],
    label: NDArray[np.bool_],
    patient: NDArray[np.int64],
    slices: Sequence[slice],
    settings: CurveSettings,
) -> list[NDArray[np.int64]]:
    """Returns n_positive, n_negative and 2U of each slice and replicate: int64 arrays of shape (3, replicates + 1)."""
    keys, rows_of_weights = np.unique(patient, return_inverse=True)
    counts = [np.empty((3, settings.replicates + 1), np.int64) for _ in slices]
    step = max(1, _WEIGHT_BYTES // keys.size)
    for first in range(0, settings.replicates + 1, step):
        stop = min(first + step, settings.replicates + 1)
        weights = poisson_weights(keys, settings.seed, first, stop)
        for rows, out in zip(slices, counts, strict=True):
            out[:, first:stop] = weighted_pair_counts(score[rows], label[rows], rows_of_weights[rows], weights)
    return counts


def _drawn(
    score: NDArray[np.float64], label: NDArray[np.bool_], ranges: Ranges, lowest: float, wanted: bool
) -> dict[str, Any]:
    """Returns the columns of a bucket that concern average precision, operating points and ROC curve."""
    total = ranges.total
    if not wanted or total.positive == 0 or total.negative == 0:
        point, f1, precision = OperatingPoint(0, 0.0, 0, 0), F1Point(0.0, 0.0), 0
        roc: tuple[NDArray[Any], ...] = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        targets = np.empty(0)
    else:
        thresholds = curves.thresholds_of(score, label, ranges.above(lowest))
        point, f1 = curves.youden_point(thresholds, total), curves.f1_point(thresholds, total)
        precision = curves.precision_sum(thresholds)
        targets = curves.target_thresholds(thresholds, total)
        roc = curves.thin(thresholds.true_positives, thresholds.false_positives, total, thresholds.score)
    return {
        "roc_true": roc[0].tobytes(),
        "roc_false": roc[1].tobytes(),
        "roc_scores": roc[2].tobytes(),
        "precision_sum": str(precision),
        "best_index": point.index,
        "best_true": point.true_positives,
        "best_false": point.false_positives,
        "best_threshold": point.threshold,
        "f1": f1.f1,
        "f1_threshold": f1.threshold,
        "targets": targets.tobytes(),
    }
