"""Measures all groups of images in one task of an executor. Nothing here needs Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cxr_spark.evaluation.counting.pairs import Subgroup
from cxr_spark.evaluation.reading.groupings import values_in
from cxr_spark.evaluation.reading.images import matrix_of
from cxr_spark.evaluation.subgroups.clustered import Difference, Ranked, mean_of

_PARTS = ("inside", "outside", "variance", "variance_inside")
#: The numbers of a group for a finding; finding -1 is the mean over the findings. Null where one cannot be computed.
DIFFERENCES = pa.schema(
    [
        pa.field("group", pa.int32(), nullable=False),
        pa.field("finding", pa.int32(), nullable=False),
        pa.field("n_positive", pa.int64()),
        pa.field("n_negative", pa.int64()),
        *(pa.field(f"{what}_{part}", pa.float64()) for what in ("auc", "missed") for part in _PARTS),
    ]
)
MEAN = -1
_COLUMNS = ("image_index", "patient", "labels", "scores")


@dataclass(frozen=True)
class GroupMeasurer:
    """Measures groups. Spark sends it to the executor that measures all images.

    Attributes:
        groups: the groups.
        thresholds: the threshold of each finding; NaN: no false-negative rates.
    """

    groups: Sequence[Subgroup]
    thresholds: Sequence[float]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Takes rows of `images.IMAGES`, all labelled, of all evaluated images, and yields rows of `DIFFERENCES`."""
        table = pa.Table.from_batches(list(batches))
        if table.num_rows:
            yield pa.RecordBatch.from_pylist(list(self.measured(table)), schema=DIFFERENCES)

    def measured(self, images: pa.Table) -> Iterator[dict[str, Any]]:
        """Yields a row for each group and finding, and for each group and the mean."""
        # One order, so that sums of doubles come out the same however the images are spread.
        images = images.take(pc.sort_indices(images.column("image_index")))
        n_findings = len(self.thresholds)
        labels, scores = matrix_of(images, "labels", n_findings), matrix_of(images, "scores", n_findings)
        keys, patients = np.unique(images.column("patient").to_numpy(), return_inverse=True)
        members = self._members(images)
        ranked = [
            _ranked(labels[:, i], scores[:, i], patients, keys.size, self.thresholds[i]) for i in range(n_findings)
        ]
        present = [labels[known, i].astype(np.int64) for i, (known, _) in enumerate(ranked)]
        for group, member in zip(self.groups, members, strict=True):
            aucs: list[Difference] = []
            rates: list[Difference] = []
            for finding, (known, images_of) in enumerate(ranked):
                auc = images_of.auc_difference(member[known])
                rate = None if np.isnan(self.thresholds[finding]) else images_of.missed_difference(member[known])
                aucs += [auc] if auc is not None else []
                rates += [rate] if rate is not None else []
                counts = np.bincount(present[finding][member[known]], minlength=2)
                yield {
                    "group": group.number,
                    "finding": finding,
                    "n_positive": int(counts[1]),
                    "n_negative": int(counts[0]),
                    **_row("auc", auc),
                    **_row("missed", rate),
                }
            means = {**_row("auc", mean_of(aucs)), **_row("missed", mean_of(rates))}
            yield {"group": group.number, "finding": MEAN, **means}

    def _members(self, images: pa.Table) -> NDArray[np.bool_]:
        columns = {name: np.array(values_in(images, name), object) for name in {g.grouping for g in self.groups}}
        return np.array([columns[group.grouping] == group.value for group in self.groups], dtype=bool)


def _ranked(
    labels: NDArray[np.float64],
    scores: NDArray[np.float64],
    patients: NDArray[np.int64],
    n_patients: int,
    threshold: float,
) -> tuple[NDArray[np.bool_], Ranked]:
    known = ~np.isnan(labels)
    return known, Ranked.of(scores[known], labels[known] == 1, patients[known], n_patients, threshold)


def _row(what: str, found: Difference | None) -> dict[str, float | None]:
    if found is None:
        return {f"{what}_{part}": None for part in _PARTS}
    return {f"{what}_{part}": getattr(found, part) for part in _PARTS}
