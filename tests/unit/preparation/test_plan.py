"""The join of files and labels against pandas, and the cutting into parts."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cxr_spark.datasets.registry import base_name
from cxr_spark.errors import DataError
from cxr_spark.imaging.listing import ImageFile, ImageFiles
from cxr_spark.preparation.plan import make_plan, number_of_files, rows_per_file
from cxr_spark.tables.schema import LABELS

ROOT = "file:///x"


def files(*names, problem=None):
    return [ImageFile(f"{ROOT}/{name}", ROOT, 100 + i, 0.0, problem) for i, name in enumerate(names)]


def labels(splits):
    """A label table from {image: split}; patient = the name's first letter."""
    names = list(splits)
    columns = {
        "image_index": names,
        "patient_id": [n[0] for n in names],
        "view_position": ["PA"] * len(names),
        "sex": [None] * len(names),
        "age": [None if i % 2 else float(i) for i in range(len(names))],
        "labels": [[0.0, float("nan"), float(i)] for i in range(len(names))],
        "split": list(splits.values()),
    }
    return pa.Table.from_pydict(columns, schema=LABELS)


def plan(found, splits, labelled=None, *, ignored=0, size=224, cores=2):
    table = labels(splits)
    return make_plan(
        ImageFiles(found, ignored), base_name, pa.array(labelled or list(splits)), table, size=size, cores=cores
    )


def images(a_plan):
    return [name for part in a_plan.parts for name in part.images["image_index"].to_pylist()]


def test_joins_and_counts():
    found = [
        *files("a.png", "deep/b.png", "c.png", "stranger.png", "unlisted.png"),
        *files("one/twice.png", "two/twice.png"),
        *files("_h/a.png", "._b.png", problem="hidden_name"),
    ]
    splits = {"a.png": "train", "b.png": "test", "c.png": "train", "twice.png": "val", "missing.png": "val"}
    made = plan(found, splits, [*splits, "unlisted.png"], ignored=4)
    assert images(made) == ["a.png", "c.png", "b.png"]
    counts = made.counts
    assert (counts.images_found, counts.ignored_files, counts.labels_found) == (9, 4, 6)
    assert (counts.joined, counts.images_without_label, counts.labels_without_image) == (6, 1, 1)
    assert (counts.images_in_no_split, counts.wanted) == (1, 4)
    aside = made.set_aside.to_pandas()
    assert sorted(zip(aside["image_index"], aside["reason"], strict=True)) == [
        ("._b.png", "hidden_name"),
        ("a.png", "hidden_name"),
        ("twice.png", "duplicate_name"),
        ("twice.png", "duplicate_name"),
    ]
    assert counts.images_found == counts.joined + counts.images_without_label + 2
    assert counts.joined == 3 + counts.images_in_no_split + 2


def test_rows_keep_their_own_labels_and_files():
    names = [f"p{i:03d}.png" for i in np.random.default_rng(1).permutation(200)]
    splits = {name: ("train", "val", "test")[i % 3] for i, name in enumerate(names)}
    found = files(*[f"f{i % 7}/{name}" for i, name in enumerate(names[::-1]) if i % 5])
    made = plan(found, splits)
    table = labels(splits).to_pandas().set_index("image_index")
    where = pd.DataFrame(found).assign(name=[f.uri.rsplit("/", 1)[1] for f in found]).set_index("name")
    for part in made.parts:
        for row in part.images.to_pylist():
            truth = table.loc[row["image_index"]]
            assert part.split == truth["split"]
            assert row["patient_id"] == truth["patient_id"]
            assert row["age"] == truth["age"] or (row["age"] is None and np.isnan(truth["age"]))
            np.testing.assert_array_equal(row["labels"], truth["labels"])
            assert (row["uri"], row["size"]) == tuple(where.loc[row["image_index"], ["uri", "size"]])
    assert len(images(made)) == len(found)


def test_every_split_is_in_order_and_independent_of_the_order_of_files():
    splits = {f"{i:04d}.png": "train" if i % 4 else "test" for i in range(500)}
    found = files(*splits)
    made = plan(found, splits)
    for split in ("train", "test"):
        names = [n for part in made.parts if part.split == split for n in part.images["image_index"].to_pylist()]
        assert names == sorted(n for n, s in splits.items() if s == split)
    again = plan(found[::-1], dict(reversed(splits.items())))
    assert [p.images["image_index"].to_pylist() for p in again.parts] == [
        p.images["image_index"].to_pylist() for p in made.parts
    ]
    assert [part.number for part in made.parts] == list(range(len(made.parts)))


def test_file_sizes():
    assert 500 <= rows_per_file(224) <= 700  # tens of megabytes
    assert number_of_files(112_120, 224, 2) == -(-112_120 // rows_per_file(224))
    assert number_of_files(3, 224, 64) == 3
    assert number_of_files(1, 224, 64) == 1
    assert number_of_files(20, 224, 64) == 4
    assert number_of_files(300, 224, 2) == 6
    assert number_of_files(5_000, 224, 64) > 64  # all cores work
    for size in (16, 224, 1024, 2048):
        assert 1 <= rows_per_file(size) <= 2048
        assert rows_per_file(size) * size**2 <= 32 * 2**20 or rows_per_file(size) == 1


def test_parts_are_even():
    splits = {f"{i:05d}.png": "train" for i in range(3001)}
    sizes = [part.images.num_rows for part in plan(files(*splits), splits).parts]
    assert sum(sizes) == 3001
    assert max(sizes) - min(sizes) <= 1


def test_a_task_is_sent_its_own_rows_alone():
    splits = {f"{i:05d}.png": "train" for i in range(4000)}
    whole = len(pickle.dumps(plan(files(*splits), splits, size=16).parts))
    parts = plan(files(*splits), splits, size=1024).parts
    assert len(parts) > 100
    assert sum(len(pickle.dumps(part)) for part in parts) < 3 * whole


def test_no_files():
    with pytest.raises(DataError, match=r"no \.png, \.jpg, \.jpeg or \.dcm file found among 3 files"):
        plan([], {"a.png": "train"}, ignored=3)


def test_nothing_joins_shows_how_both_sides_are_named():
    with pytest.raises(DataError, match=r"'b\.png'.*'00000001_000\.png'"):
        plan(files("b.png"), {"00000001_000.png": "train"})
    with pytest.raises(DataError, match="1 have hidden or unusable names"):
        plan(files("_a.png", problem="hidden_name"), {"a.png": "train"})


def test_labelled_but_in_no_split():
    with pytest.raises(DataError, match="none of the 1 labelled images is in a split"):
        plan(files("a.png"), {"b.png": "train"}, ["a.png", "b.png"])


def test_name_that_is_not_unicode_can_be_stored():
    made = plan([*files("a.png"), *files("latin\udce4.png", problem="unusable_name")], {"a.png": "train"})
    assert made.set_aside["uri"].to_pylist() == [f"{ROOT}/latin\\udce4.png"]
