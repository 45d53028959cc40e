"""What prepare set aside: counts and names against plain Python, and which files are opened for a picture."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.exploration.set_aside import (
    MOST_CHARACTERS,
    MOST_OF_A_NAME,
    MOST_OF_A_REASON,
    MOST_REASONS,
    pixels_of,
    set_aside_by_reason,
)
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import QUARANTINE


@pytest.fixture
def dataset(tmp_path):
    """A dataset without images, and a function that sets some aside."""

    def write(rows, named=True, **manifest):
        (tmp_path / "quarantine").mkdir(exist_ok=True)
        for part, some in enumerate((rows[::2], rows[1::2])):
            pq.write_table(pa.Table.from_pylist(some, QUARANTINE), tmp_path / "quarantine" / f"part-{part}.parquet")
        files = [{"name": path.relative_to(tmp_path).as_posix(), "bytes": 1} for path in tmp_path.rglob("*.parquet")]
        content = {"findings": ["Mass"], "size": 32, "splits": {"test": {"images": 0}}, **manifest}
        (tmp_path / "manifest.json").write_text(json.dumps(content | ({"files": files} if named else {})))
        return PreparedDataset.open(f"file://{tmp_path}")

    return write


def row(number, reason, **changes):
    name = f"{number:03d}.png"
    return {"image_index": name, "uri": f"file:///raw/{name}", "reason": reason, "detail": None, **changes}


def test_counts_and_examples_of_each_reason(dataset):
    rows = [row(n, "corrupt" if n % 3 else "empty") for n in range(50)]
    found = set_aside_by_reason(dataset(rows, quarantined={"corrupt": 33, "empty": 18}))
    assert (found["images"], found["in_manifest"]) == (50, 51)
    assert {name: each["images"] for name, each in found["reasons"].items()} == Counter(r["reason"] for r in rows)
    assert list(found["reasons"]) == ["corrupt", "empty"]  # the most frequent first
    for reason, each in found["reasons"].items():
        uris = [r["uri"] for r in rows if r["reason"] == reason]
        drawn = sorted(uris, key=lambda uri: hashlib.sha256(uri.encode()).hexdigest())[:MOST_OF_A_REASON]
        assert [image["uri"] for image in each["examples"]] == drawn


def test_the_same_examples_whatever_the_order_of_the_rows(dataset):
    rows = [row(n, "corrupt") for n in range(20)]
    assert set_aside_by_reason(dataset(rows)) == set_aside_by_reason(dataset(rows[::-1]))


def test_a_foreign_table_names_few_reasons_and_equal_rows_do_no_harm(dataset):
    rows = [row(1, f"reason {n:03d}") for n in range(100)] + [row(1, "reason 000")] * 9
    found = set_aside_by_reason(dataset(rows, quarantined={"corrupt": "many"}))
    assert (found["images"], found["in_manifest"], len(found["reasons"])) == (109, None, MOST_REASONS)


def test_long_texts_of_a_foreign_table_are_cut(dataset):
    long = "x" * 10_000
    found = set_aside_by_reason(dataset([row(1, long, image_index=long, uri=long, detail=long)]))
    assert found["reasons"] == {
        long[:MOST_CHARACTERS]: {
            "images": 1,
            "examples": [
                {
                    "image_index": long[:MOST_OF_A_NAME],
                    "uri": long[:MOST_OF_A_NAME],
                    "detail": long[:MOST_CHARACTERS],
                }
            ],
        }
    }


def test_files_that_the_manifest_does_not_name_are_left_out(dataset, tmp_path):
    made = dataset([row(1, "corrupt"), row(2, "corrupt")])
    pq.write_table(pa.Table.from_pylist([row(3, "mine")], QUARANTINE), tmp_path / "quarantine" / "mine.parquet")
    assert set_aside_by_reason(made)["images"] == 2
    assert set_aside_by_reason(dataset([], named=False))["reasons"].keys() == {"mine"}


def test_pictures_are_of_files_that_can_be_decoded(dataset, tmp_path):
    made = dataset([])
    image = np.full((40, 80), 200, np.uint8)
    cv2.imwrite(str(tmp_path / "whole.png"), image)
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.png")  # to open it would wait for ever
    shown = pixels_of(f"file://{tmp_path}/whole.png", made, 20)
    expected = np.zeros((20, 20), np.uint8)
    expected[5:15] = 200
    np.testing.assert_array_equal(shown, expected)
    others = [f"file://{tmp_path}/{name}.png" for name in ("cut", "empty", "pipe", "gone")]
    others += [
        "file:///dev/zero",
        f"file://{tmp_path}",
        "s3://bucket/whole.png",
        "http://example.invalid/x.png",
        "",
        "\n",
    ]
    assert [uri for uri in others if pixels_of(uri, made, 20) is not None] == []


def test_pictures_of_12_bits_are_as_bright_as_the_prepared_ones(dataset, tmp_path):
    cv2.imwrite(str(tmp_path / "dim.png"), np.full((20, 20), 4095, np.uint16))
    uri = f"file://{tmp_path}/dim.png"
    assert pixels_of(uri, dataset([], white_level=4095), 20).min() == 255
    assert pixels_of(uri, dataset([], white_level="white"), 20).max() < 20
