"""Measures two models finding by finding, on executors: all the pairs of a finding are measured by one task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.evaluation.image_sets.base import BASELINE_SCORES, ImageSet
from cxr_spark.evaluation.paired.delong import difference_and_variance
from cxr_spark.evaluation.reading.images import matrix_of
from cxr_spark.runtime.spark_schema import to_spark

#: One image's two scores for one finding that it has a known label of.
PAIRED = pa.schema(
    [
        pa.field("finding", pa.int32(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("label", pa.bool_(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("baseline", pa.float64(), nullable=False),
    ]
)
#: The results of a finding: the variance of DeLong's test, null where there is none, and the images that differ most.
MEASURED = pa.schema(
    [
        pa.field("finding", pa.int32(), nullable=False),
        pa.field("variance", pa.float64()),
        pa.field("images", pa.list_(pa.string()), nullable=False),
        pa.field("labels", pa.list_(pa.bool_()), nullable=False),
        *(pa.field(name, pa.list_(pa.float64()), nullable=False) for name in ("scores", "baselines")),
    ]
)
#: The number of images that are named for each finding.
_NAMED = 3
#: The number of pairs of image and finding up to which one task measures all findings.
_PAIRS_PER_TASK = 4_000_000


def measure(paired: ImageSet, *, n_images: int, n_findings: int) -> list[dict[str, Any]]:
    """Measures every finding. One task takes all the pairs of a finding, about 60 bytes for each.

    Args:
        paired: the images that both models scored, see `ImageSet.paired_with`.
        n_images: the number of images.
        n_findings: the length of labels and scores.

    Returns:
        A row of `MEASURED` for each finding that has known labels.
    """
    spread = _spreader(n_findings)

    def in_one(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from _measured(spread(batches))

    if paired.frame is None or n_images * n_findings <= _PAIRS_PER_TASK:
        return paired.together(in_one, MEASURED)
    pairs = paired.frame.mapInArrow(spread, to_spark(PAIRED)).repartition(n_findings, "finding")
    return [row.asDict() for row in pairs.mapInArrow(_measured, to_spark(MEASURED)).collect()]


def _spreader(n_findings: int) -> Any:
    def spread(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from pairs_of(pa.Table.from_batches([batch]), n_findings).to_batches()

    return spread


def pairs_of(images: pa.Table, n_findings: int) -> pa.Table:
    """Spreads images to rows of `PAIRED`, one for each known label."""
    labels = matrix_of(images, "labels", n_findings)
    row, finding = np.nonzero(~np.isnan(labels))
    columns = (
        finding.astype(np.int32),
        images.column("image_index").take(pa.array(row)).combine_chunks(),
        labels[row, finding] == 1,
        matrix_of(images, "scores", n_findings)[row, finding],
        matrix_of(images, BASELINE_SCORES, n_findings)[row, finding],
    )
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=PAIRED)


def _measured(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    table = pa.Table.from_batches([batch.cast(PAIRED) for batch in batches], schema=PAIRED)
    numbers = table.column("finding").to_numpy()
    rows = [measured(table.filter(pa.array(numbers == finding))) for finding in np.unique(numbers).tolist()]
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=MEASURED)


def measured(pairs: pa.Table) -> dict[str, Any]:
    """Returns a row of `MEASURED` from all the pairs of one finding, rows of `PAIRED`."""
    label, score, baseline = (pairs.column(name).to_numpy() for name in ("label", "score", "baseline"))
    found = difference_and_variance(score, baseline, label)
    apart = _most_apart(pairs, np.abs(score - baseline))
    return {
        "finding": int(pairs.column("finding")[0].as_py()),
        "variance": None if found is None else found[1],
        "images": [pairs.column("image")[place].as_py() for place in apart],
        "labels": label[apart].tolist(),
        "scores": score[apart].tolist(),
        "baselines": baseline[apart].tolist(),
    }


def _most_apart(pairs: pa.Table, distance: NDArray[np.float64]) -> list[int]:
    """Returns the rows whose scores differ most, the largest difference first; of equal ones the first names."""
    cut = np.partition(distance, max(distance.size - _NAMED, 0))[max(distance.size - _NAMED, 0)]
    rows = [row for row in np.flatnonzero(distance >= cut).tolist() if distance[row] > 0]
    return sorted(rows, key=lambda row: (-distance[row], pairs.column("image")[row].as_py()))[:_NAMED]
