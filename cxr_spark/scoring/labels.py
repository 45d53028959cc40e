"""The labels of prepared images in the order of a model's findings. No Spark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def labels_in_order(rows: pa.RecordBatch, places: Sequence[int | None]) -> NDArray[np.float32]:
    """Returns the labels of some rows in the order of a model's findings.

    Args:
        rows: rows of a prepared dataset, with the column `labels`.
        places: the position of the label of each finding in these label lists; None where there is no such label.

    Returns:
        float32 (N, findings); NaN where a label is not known.

    Raises:
        ValueError: the label lists differ in length.
    """
    labels = _matrix(rows["labels"])
    wanted = np.full((len(rows), len(places)), np.nan, np.float32)
    for place, source in enumerate(places):
        if source is not None:
            wanted[:, place] = labels[:, source]
    return wanted


def _matrix(labels: pa.ListArray) -> NDArray[np.float32]:
    """Returns lists of one length as a matrix, float32 (rows, length)."""
    lengths = np.diff(labels.offsets.to_numpy())
    if labels.null_count or len(np.unique(lengths)) > 1:
        raise ValueError("its label lists differ in length")
    width = int(lengths[0]) if len(lengths) else 0
    flat: NDArray[np.float32] = labels.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return flat.reshape(len(labels), width)
