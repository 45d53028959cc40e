"""Reads the Parquet files of a prepared dataset, and tells damaged data from storage that fails.

A file that the manifest names is read as a whole, and its SHA-256 is compared with that of the manifest before the file
is used. Without that, most single flipped bits would only give other pixels. Hashing takes about as long as Parquet's
own page checksums would (33 ms against 24 ms for 32 MB), and it also covers the footer and older datasets.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_spark.errors import CxrError, DataError
from cxr_spark.storage.store import Store


@contextlib.contextmanager
def naming_damage(uri: str) -> Iterator[None]:
    """Turns all errors of pyarrow and NumPy about the content of a file into a DataError that names the file.

    Files must be read through the Store here. Otherwise a fault of the storage would look like damaged content.
    """
    try:
        yield
    except CxrError:
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        detail = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{uri} cannot be read as prepared data ({detail}): prepare the data again with --overwrite"
        ) from error


@contextlib.contextmanager
def open_prepared(store: Store, name: str, sha256: str | None) -> Iterator[pq.ParquetFile]:
    """Reads a whole Parquet file into memory, checks it, and opens it there.

    Args:
        store: the folder of the dataset.
        name: the name of the file in that folder.
        sha256: the SHA-256 that its bytes must have; None to take them as they are.

    Raises:
        DataError: the file is gone or damaged.
        StorageAwayError: the storage cannot be reached.
        RunError: the file cannot be read.
    """
    uri = store.uri_of(name)
    try:
        data = store.read_bytes(name)
    except FileNotFoundError:
        raise gone(uri) from None
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(
            f"{uri} is damaged (its SHA-256 is not the manifest's): prepare the data again with --overwrite"
        )
    with naming_damage(uri):
        file = pq.ParquetFile(pa.BufferReader(data))
    with file:
        yield file


def read_batches(
    store: Store, name: str, columns: Sequence[str], rows: int, sha256: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Reads some columns of a prepared file, a number of rows at a time. Arguments and errors as `open_prepared`."""
    with open_prepared(store, name, sha256) as file:
        batches = file.iter_batches(rows, columns=list(columns), use_threads=False)
        while True:
            with naming_damage(store.uri_of(name)):
                batch = next(batches, None)
                if batch is not None:
                    _check_columns(batch, columns)
                    if sha256 is None:
                        batch.validate(full=True)
            if batch is None:
                return
            yield batch


def read_columns(store: Store, name: str, columns: Sequence[str]) -> pa.Table:
    """Reads small columns of a prepared file without its pixels. The SHA-256 of the whole file is then not compared.

    Raises:
        DataError: the file is gone or damaged.
        StorageAwayError: the storage cannot be reached.
        RunError: the file cannot be read.
    """
    uri = store.uri_of(name)
    try:
        stream = store.open(name)
    except FileNotFoundError:
        raise gone(uri) from None
    with stream, naming_damage(uri), pq.ParquetFile(stream) as file:
        table = file.read(list(columns), use_threads=False)
        _check_columns(table, columns)
        table.validate(full=True)
        return table


def _check_columns(found: pa.Table | pa.RecordBatch, columns: Sequence[str]) -> None:
    lacking = [name for name in columns if name not in found.schema.names]
    if lacking:
        raise ValueError(f"it has no column {lacking[0]!r}")


def gone(uri: str) -> DataError:
    """Returns the error of a prepared file that is not there any more."""
    return DataError(f"{uri} is gone: prepare the data again with --overwrite")
