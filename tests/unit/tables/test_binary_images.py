"""Columns of images as arrays: against numpy's own bytes, sliced, in chunks, and damaged."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from cxr_spark.tables.prepared import binary_images

IMAGES = np.random.default_rng(1).integers(0, 256, (6, 5, 5), dtype=np.uint8)
COLUMN = pa.array([image.tobytes() for image in IMAGES], pa.binary())


def test_a_column_is_its_images_without_a_copy() -> None:
    found = binary_images(COLUMN, side=5)
    np.testing.assert_array_equal(found, IMAGES)
    assert found.ctypes.data == COLUMN.buffers()[2].address


@pytest.mark.parametrize(("start", "stop"), [(0, 2), (2, 6), (5, 6)])
def test_a_slice_of_a_column_is_a_slice_of_the_images(start: int, stop: int) -> None:
    np.testing.assert_array_equal(binary_images(COLUMN.slice(start, stop - start)), IMAGES[start:stop])


@pytest.mark.parametrize("chunks", [[COLUMN], [COLUMN.slice(0, 1), COLUMN.slice(1, 5)]])
def test_chunks_are_one_column(chunks: list[pa.Array]) -> None:
    np.testing.assert_array_equal(binary_images(pa.chunked_array(chunks), 5), IMAGES)


@pytest.mark.parametrize(
    ("values", "side", "message"),
    [
        ([b"1234", None], None, "not square and of one size"),
        ([b"1234", b"123456789"], None, "not square and of one size"),
        ([b"12345"], None, "not square and of one size"),
        ([b""], None, "not square and of one size"),
        ([b"1234"], 3, "not 3 x 3 pixels, as the manifest says"),
        ([b"12345"], 3, "not 3 x 3 pixels, as the manifest says"),
    ],
)
def test_what_is_no_column_of_images_is_refused(values: list[bytes | None], side: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        binary_images(pa.array(values, pa.binary()), side)
