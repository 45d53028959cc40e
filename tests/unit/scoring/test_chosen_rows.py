"""The rows of a file that a part names, gathered into batches of nearly the full size."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from cxr_spark.scoring.task import chosen_rows

SIZE = 8


def in_batches(n: int) -> list[pa.RecordBatch]:
    return pa.table({"row": range(n)}).to_batches(max_chunksize=SIZE)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9, 1.0])
def test_wanted_rows_come_once_in_order_and_in_few_batches(share: float) -> None:
    wanted = np.flatnonzero(np.random.default_rng(1).random(203) < share).tolist()
    found = list(chosen_rows(in_batches(203), tuple(wanted), SIZE))
    assert [row for batch in found for row in batch["row"].to_pylist()] == wanted
    sizes = [len(batch) for batch in found]
    assert max(sizes) <= SIZE
    # Two that follow each other would not fit into one batch.
    assert all(a + b > SIZE for a, b in pairwise(sizes))


def test_without_named_rows_the_batches_stay_and_of_no_rows_there_are_none() -> None:
    assert list(chosen_rows(in_batches(20), None, SIZE)) == in_batches(20)
    assert list(chosen_rows(in_batches(20), (), SIZE)) == []
