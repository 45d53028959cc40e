"""Spreads checked images to (curve, score) pairs. This runs on executors; nothing here needs Spark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.evaluation.counting.buckets import PAIRS
from cxr_spark.evaluation.reading.groupings import GROUPINGS, SPLIT, values_in
from cxr_spark.evaluation.reading.images import matrix_of

#: The curve of all (image, finding) pairs together.
MICRO = -1


@dataclass(frozen=True)
class Subgroup:
    """The images that have the same value in one column, or the same values in two.

    Attributes:
        grouping: the column: one of `images.GROUPINGS`, or `images.SPLIT`; or one of `CROSSINGS`.
        value: the value, such as `F`, `20-39` or `PA`; of a crossing both, see `crossed`.
        n_images: the number of its images with labels.
        number: the subgroup's number, from 1, unique over all groupings.
    """

    grouping: str
    value: str
    n_images: int
    number: int


def first_curve(group: int, n_findings: int) -> int:
    """Returns the number of the first finding's curve in a subgroup (1, 2, ...), or among all images (group 0)."""
    return group * n_findings


def pairs_of(images: pa.Table, n_findings: int, subgroups: Sequence[Subgroup], split: str | None = None) -> pa.Table:
    """Spreads images to one row for each curve they belong to.

    Args:
        images: rows of `images.IMAGES`, all with labels.
        n_findings: the length of their labels and scores.
        subgroups: the subgroups that get curves.
        split: the split that is evaluated; images of other splits belong to the curves of their own split only. None
            to evaluate all images.

    Returns:
        Rows of `buckets.PAIRS`: each pair whose label is known, once for micro, once for its finding, and once for each
        of its subgroups.
    """
    labels = matrix_of(images, "labels", n_findings)
    scores = matrix_of(images, "scores", n_findings) + 0.0  # -0.0 becomes 0.0: they are one threshold
    patients = images.column("patient").to_numpy()
    evaluated = np.ones(images.num_rows, dtype=bool)
    if split is not None:
        evaluated = np.array([value == split for value in images.column(SPLIT).to_pylist()], dtype=bool)
    rows, findings = np.nonzero(~np.isnan(labels))
    whole = np.flatnonzero(evaluated[rows])
    curves: list[NDArray[np.int64]] = [np.full(whole.size, MICRO), findings[whole] + first_curve(0, n_findings)]
    sources = [whole] * 2
    for grouping in (*GROUPINGS, SPLIT):
        numbers = {group.value: group.number for group in subgroups if group.grouping == grouping}
        if numbers:
            first = {value: first_curve(number, n_findings) for value, number in numbers.items()}
            firsts = np.array([first.get(value or "", 0) for value in values_in(images, grouping)], np.int64)
            if grouping != SPLIT:
                firsts[~evaluated] = 0
            firsts = firsts[rows]
            members = np.flatnonzero(firsts)
            curves.append(firsts[members] + findings[members])
            sources.append(members)
    source = np.concatenate(sources)
    row, finding = rows[source], findings[source]
    columns = [
        np.concatenate(curves).astype(np.int32),
        scores[row, finding],
        labels[row, finding] == 1,
        patients[row],
    ]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=PAIRS)
