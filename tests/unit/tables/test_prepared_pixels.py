"""Single images of a prepared dataset, found by name."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from cxr_spark.errors import DataError
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.prepared_pixels import find_pixels
from tests.support.prepared_sets import write_prepared


@pytest.fixture
def folder(tmp_path):
    """Three splits, whose files have row groups of three images."""
    made = write_prepared(tmp_path / "prepared", {"train": 11, "val": 4, "test": 10}, size=16)
    for path in sorted(made.rglob("*.parquet")):
        pq.write_table(pq.read_table(path, partitioning=None), path, row_group_size=3)
    return made


def by_pandas(folder):
    tables = [pq.read_table(path, partitioning=None).to_pandas() for path in sorted(folder.rglob("*.parquet"))]
    return {name: data for table in tables for name, data in zip(table["image_index"], table["pixels"], strict=True)}


def test_pixels_are_those_of_the_file_whatever_split_and_row_group(folder):
    stored = by_pandas(folder)
    wanted = ["00000000_test.png", "00000009_test.png", "00000007_train.png", "00000003_val.png"]
    found = find_pixels(PreparedDataset.open(folder.as_uri()), [*wanted, "unknown.png"])
    assert sorted(found) == sorted(wanted)
    for name in wanted:
        assert found[name].shape == (16, 16)
        assert np.array_equal(found[name].ravel(), np.frombuffer(stored[name], np.uint8))
    every = find_pixels(PreparedDataset.open(folder.as_uri()), stored)
    assert all(np.array_equal(every[name].ravel(), np.frombuffer(stored[name], np.uint8)) for name in stored)


def test_a_damaged_file_is_named(folder):
    path = sorted(folder.glob("data/split=test/*.parquet"))[0]
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes(len(content) - 80) + content[-40:])
    with pytest.raises(DataError, match=rf"{path.name} cannot be read as prepared data|{path.name} is damaged"):
        find_pixels(PreparedDataset.open(folder.as_uri()), ["00000000_test.png", "00000001_test.png"])
