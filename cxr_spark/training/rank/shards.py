"""The shards of a split: the images of one rank, read once from Parquet into a memory-mapped file on the local disk.

The images of a split are ordered by image index, whatever files they are in, and cut into one block for each rank.
Prepared files are ordered in the same way, so a rank reads little more than its own block.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cxr_spark.augmentation.draws import image_keys
from cxr_spark.errors import DataError, RunError
from cxr_spark.imaging.resize import resize
from cxr_spark.tables.prepared import PreparedDataset, binary_images
from cxr_spark.tables.prepared_files import naming_damage, open_prepared, read_columns

#: Number of files that are read at the same time. Opening one costs a round trip to the store; several at once hide it.
_READERS = 4
_INDEXED = ("image_index", "labels")
_PATIENT = "patient_id"


@dataclass(frozen=True)
class Index:
    """The images of a split in the order of their image index, with the file and the row of each.

    Attributes:
        names: (N,), image indices.
        labels: float32 (N, K); NaN where a label is not known.
        file: int64 (N,), position of the image's file in `files`.
        row: int64 (N,), the image's row in that file.
        files: names of the Parquet files in the dataset's store.
        patients: (N,), the patient of each image, None where it is not known; (0,) where they were not read.
    """

    names: NDArray[Any]
    labels: NDArray[np.float32]
    file: NDArray[np.int64]
    row: NDArray[np.int64]
    files: Sequence[str]
    patients: NDArray[Any] = field(default_factory=lambda: np.empty(0, dtype=object))

    def __len__(self) -> int:
        return len(self.names)

    def chosen(self, which: NDArray[np.bool_]) -> Index:
        """Returns the index of some of the images, in the same order.

        Args:
            which: (N,), whether an image is one of them.
        """
        patients = self.patients[which] if len(self.patients) else self.patients
        return Index(self.names[which], self.labels[which], self.file[which], self.row[which], self.files, patients)


@dataclass(frozen=True)
class Shard:
    """The images of one rank.

    Attributes:
        pixels: uint8 (n, S, S), in a file that vanishes with the process.
        labels: float32 (n, K); NaN where a label is not known.
        keys: uint64 (n,), the keys that the random numbers of augmentations are drawn from.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.float32]
    keys: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.labels)


def read_index(dataset: PreparedDataset, *splits: str, patients: bool = False) -> Index:
    """Reads names and labels of a split, or of several together.

    Args:
        dataset: the prepared dataset.
        splits: the splits.
        patients: whether to read the patient of each image, too.

    Raises:
        DataError: a file is damaged, or an image is there twice or has another number of labels than the dataset has
            findings.
    """
    files = [name for split in splits for name in dataset.files(split)]
    columns = (*_INDEXED, _PATIENT) if patients else _INDEXED

    def read(name: str) -> pa.Table:
        return read_columns(dataset.store, name, columns)

    with ThreadPoolExecutor(_READERS) as pool:
        tables = list(pool.map(read, files))
    k = len(dataset.findings)
    names = np.concatenate([t["image_index"].to_numpy() for t in tables] or [np.empty(0, dtype=object)])
    by_file = [_labels(table, k, dataset.store.uri_of(name)) for name, table in zip(files, tables, strict=True)]
    labels = np.concatenate(by_file or [np.empty((0, k), np.float32)])
    file = np.repeat(np.arange(len(files)), [len(t) for t in tables])
    row = np.concatenate([np.arange(len(t)) for t in tables] or [np.empty(0, np.int64)])
    order = np.argsort(names.astype(str), kind="stable")
    names = names[order]
    twice = np.flatnonzero(names[1:] == names[:-1])
    if len(twice):
        where = " or ".join(map(repr, splits))
        raise DataError(f"image {names[twice[0]]!r} stands twice in split {where} of {dataset.store.uri}")
    index = Index(names, labels[order], file[order], row[order], files)
    if not patients:
        return index
    patient_of = np.array([patient for table in tables for patient in table[_PATIENT].to_pylist()], dtype=object)
    return replace(index, patients=patient_of[order])


def check_one_label_each(index: Index) -> None:
    """Raises DataError if an image has not exactly one label, as `model.task=single_label` needs it."""
    wrong = np.flatnonzero((index.labels.sum(axis=1) != 1) | ((index.labels != 0) & (index.labels != 1)).any(axis=1))
    if len(wrong):
        raise DataError(
            f"image {index.names[wrong[0]]!r} and {len(wrong) - 1} more have not exactly one label: "
            "model.task=single_label needs one class an image; use multi_label"
        )


def bounds(n: int, rank: int, world: int) -> tuple[int, int]:
    """Returns the block [start, end) of a rank among n images; blocks differ by at most one image."""
    return n * rank // world, n * (rank + 1) // world


def load_shard(dataset: PreparedDataset, index: Index, start: int, end: int, side: int) -> Shard:
    """Reads the images [start, end) of a split; see `load_images`."""
    return load_images(dataset, index, np.arange(start, end), side)


def load_images(dataset: PreparedDataset, index: Index, positions: NDArray[np.int64], side: int) -> Shard:
    """Reads images of a split.

    Args:
        dataset: the prepared dataset.
        index: all images of the split.
        positions: int64 (n,), which images of the index.
        side: side of the result, pixels; images stored at another size are resized once, here.

    Raises:
        RunError: the local disk has no room.
        DataError: a file is damaged, or an image is not of the size that the manifest says.
    """
    pixels = _spool((len(positions), side, side))

    def fill(file: int) -> None:
        wanted = np.flatnonzero(index.file[positions] == file)
        rows = index.row[positions[wanted]]
        name = index.files[file]
        uri = dataset.store.uri_of(name)
        with open_prepared(dataset.store, name, dataset.sha256(name)) as parquet:
            first = 0
            for group in range(parquet.num_row_groups):
                count = parquet.metadata.row_group(group).num_rows
                here = (rows >= first) & (rows < first + count)
                if here.any():
                    with naming_damage(uri):
                        table = parquet.read_row_group(group, columns=[*_INDEXED, "pixels"])
                        stored = binary_images(table["pixels"], dataset.size)
                        chosen = rows[here] - first
                        _check_same(table, chosen, index, positions[wanted[here]], uri)
                        images = stored[chosen]
                    pixels[wanted[here]] = images if side == dataset.size else _resized(images, side)
                first += count

    with ThreadPoolExecutor(_READERS) as pool:
        list(pool.map(fill, np.unique(index.file[positions])))
    return Shard(pixels, index.labels[positions], image_keys(index.names[positions].tolist()))


def _labels(table: pa.Table, k: int, uri: str) -> NDArray[np.float32]:
    """Returns the labels of a file, float32 (rows, K).

    Raises:
        DataError: an image has another number of labels than the dataset has findings.
    """
    with naming_damage(uri):
        column = table["labels"].combine_chunks()
        flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        even = not column.null_count and bool((pc.list_value_length(column).to_numpy() == k).all())
    if not even:
        raise DataError(f"{uri}: expected {k} labels an image, as the manifest has findings")
    labels: NDArray[np.float32] = flat.reshape(-1, k)
    return labels


def _check_same(table: pa.Table, rows: NDArray[Any], index: Index, places: NDArray[Any], uri: str) -> None:
    """Makes sure that a file that has been checked as a whole holds the names and labels that the index was made of."""
    names = table["image_index"].to_numpy()[rows]
    labels = _labels(table, index.labels.shape[1], uri)[rows]
    same = np.array_equal(names, index.names[places])
    if not same or not np.array_equal(labels, index.labels[places], equal_nan=True):
        raise ValueError("its names or labels changed while it was read")


def _resized(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.stack([resize(image, side, "squash") for image in images])


def local_folder() -> str:
    """Returns where a rank may put large files: Spark's local folders, YARN's, or the system's temporary one."""
    for name in ("SPARK_LOCAL_DIRS", "LOCAL_DIRS"):
        for folder in os.environ.get(name, "").split(","):
            if folder and os.access(folder, os.W_OK):
                return folder
    return tempfile.gettempdir()


def _spool(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Makes a memory-mapped array in a file without a name, which vanishes with the process, however that ends."""
    size = int(np.prod(shape))
    if size == 0:
        return np.empty(shape, np.uint8)
    folder = local_folder()
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="cxr-shard-") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk shows here, not as a bus error during the training
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        raise RunError(
            f"cannot set {size / 1e9:.2f} GB aside in {folder} for the training images: {error.strerror}; free space "
            "there, or name another disk in spark.local.dir (TMPDIR without Spark)"
        ) from None
