"""Finds some images of a prepared dataset by their names, for pages that show a few of them. No Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset, binary_images
from cxr_spark.tables.prepared_files import gone, naming_damage
from cxr_spark.tables.schema import SPLITS

_NAME, _PIXELS = "image_index", "pixels"


def find_pixels(dataset: PreparedDataset, names: Iterable[str]) -> dict[str, NDArray[np.uint8]]:
    """Reads the pixels of some images.

    Of each file the column of names is read, and of the rest only the row groups that hold an image that is wanted;
    the SHA-256 of whole files is not compared. The test images are looked through first.

    Args:
        dataset: the prepared dataset.
        names: the `image_index` of each wanted image.

    Returns:
        uint8 (S, S) for each image that the dataset holds, by its name.

    Raises:
        DataError: a file is gone or damaged.
        RunError: a file cannot be read.
    """
    left = set(names)
    found: dict[str, NDArray[np.uint8]] = {}
    for split in reversed(SPLITS):
        for file in dataset.files(split):
            if not left:
                return found
            for name, pixels in _in_file(dataset.store, file, left, dataset.size):
                found[name] = pixels
                left.discard(name)
    return found


def _in_file(store: Store, file: str, wanted: set[str], side: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    uri = store.uri_of(file)
    try:
        stream = store.open(file)
    except FileNotFoundError:
        raise gone(uri) from None
    with stream, naming_damage(uri), pq.ParquetFile(stream) as parquet:
        names = parquet.read([_NAME])[_NAME].to_pylist()
        first = 0
        for group in range(parquet.num_row_groups):
            here = names[first : first + parquet.metadata.row_group(group).num_rows]
            first += len(here)
            rows = [row for row, name in enumerate(here) if name in wanted]
            if not rows:
                continue
            pixels: pa.ChunkedArray = parquet.read_row_group(group, columns=[_PIXELS])[_PIXELS]
            pixels.validate(full=True)
            for row, image in zip(rows, binary_images(pixels.take(rows), side), strict=True):
                yield here[row], image.copy()
