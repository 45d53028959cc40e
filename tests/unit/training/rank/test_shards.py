from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.errors import DataError, RunError
from cxr_spark.imaging.resize import resize
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.rank import shards as shares
from cxr_spark.training.rank.shards import bounds, check_one_label_each, load_shard, read_index
from tests.support.prepared_sets import write_prepared


@pytest.fixture
def folder(tmp_path):
    return write_prepared(tmp_path / "a set", {"train": 50, "val": 0}, files=3)


def truth(folder):
    return pd.read_parquet(folder / "data" / "split=train").sort_values("image_index")


def test_every_image_is_in_one_share_with_its_own_pixels_and_labels(folder):
    dataset, expected = PreparedDataset.open(str(folder)), truth(folder)
    index = read_index(dataset, "train")
    assert index.names.tolist() == expected["image_index"].tolist()
    for world in (1, 3):
        parts = [load_shard(dataset, index, *bounds(50, rank, world), side=32) for rank in range(world)]
        pixels = np.concatenate([p.pixels for p in parts])
        assert [row.tobytes() for row in pixels] == expected["pixels"].tolist()
        np.testing.assert_array_equal(np.concatenate([p.labels for p in parts]), np.stack(expected["labels"]))


def test_order_does_not_depend_on_files(tmp_path):
    one = write_prepared(tmp_path / "one", {"train": 20}, files=1)
    many = write_prepared(tmp_path / "many", {"train": 20}, files=5)
    first, second = (read_index(PreparedDataset.open(str(f)), "train") for f in (one, many))
    assert first.names.tolist() == second.names.tolist()
    np.testing.assert_array_equal(first.labels, second.labels)


@pytest.mark.parametrize(("n", "world"), [(10, 3), (3, 3), (100, 7), (0, 2)])
def test_blocks_cover_all_and_are_even(n, world):
    blocks = [bounds(n, rank, world) for rank in range(world)]
    assert [i for a, b in blocks for i in range(a, b)] == list(range(n))
    sizes = [b - a for a, b in blocks]
    assert max(sizes) - min(sizes) <= 1


def test_another_side_is_resized_as_preparing_would(folder):
    dataset = PreparedDataset.open(str(folder))
    index = read_index(dataset, "train")
    small = load_shard(dataset, index, 3, 9, side=16)
    stored = [np.frombuffer(p, np.uint8).reshape(32, 32) for p in truth(folder)["pixels"][3:9]]
    np.testing.assert_array_equal(small.pixels, np.stack([resize(image, 16, "squash") for image in stored]))


def test_an_empty_split_is_an_empty_share(folder):
    dataset = PreparedDataset.open(str(folder))
    index = read_index(dataset, "val")
    assert len(load_shard(dataset, index, *bounds(0, 0, 1), side=32)) == 0


def test_an_image_that_stands_twice_is_refused(folder):
    files = sorted((folder / "data" / "split=train").iterdir())
    files[0].with_name("again.parquet").write_bytes(files[0].read_bytes())
    with pytest.raises(DataError, match=r"stands twice in split 'train'"):
        read_index(PreparedDataset.open(str(folder)), "train")


def test_pixels_of_another_size_are_refused(folder):
    file = sorted((folder / "data" / "split=train").iterdir())[0]
    table = pq.read_table(file)
    short = pa.array([b"123"] * len(table), pa.binary())
    pq.write_table(table.set_column(table.schema.get_field_index("pixels"), "pixels", short), file)
    dataset = PreparedDataset.open(str(folder))
    with pytest.raises(DataError, match="not 32 x 32"):
        load_shard(dataset, read_index(dataset, "train"), 0, 50, side=32)


def test_a_full_disk_is_one_clear_error(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shares.os, "posix_fallocate", full)
    dataset = PreparedDataset.open(str(folder))
    with pytest.raises(RunError, match=r"No space left on device.*spark\.local\.dir"):
        load_shard(dataset, read_index(dataset, "train"), 0, 50, side=32)


def test_a_softmax_needs_one_label_each(folder):
    index = read_index(PreparedDataset.open(str(folder)), "train")
    with pytest.raises(DataError, match="exactly one label"):
        check_one_label_each(index)
    check_one_label_each(replace(index, labels=np.eye(3, dtype=np.float32)[np.arange(50) % 3]))
