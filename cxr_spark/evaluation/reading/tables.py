"""Opens a Parquet or CSV table whose column names are anything at all."""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from cxr_spark.errors import DataError
from cxr_spark.storage.store import FileInfo, Store, parent_and_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_CSV_ENDS = (".csv", ".csv.gz")
#: A header longer than this is not one.
_HEADER_BYTES = 1 << 20
#: The column that Spark fills where a CSV row does not fit the header.
_CORRUPT = "_corrupt"


def column(number: int) -> str:
    """Returns the name in the data frame of the column that was at a position in the file."""
    return f"c{number}"


def open_table(spark: SparkSession, uri: str) -> tuple[list[str], DataFrame]:
    """Opens a table.

    Args:
        spark: the session.
        uri: a Parquet or CSV file (gzipped or not), or a folder of one kind.

    Returns:
        The column names as the file has them, and the rows with the columns renamed `c0`, `c1`, ...: names with dots,
        quotes or twins then need no care. CSV columns are strings; a CSV row of another length is in `_corrupt`.

    Raises:
        DataError: there is nothing, or nothing that can be read.
    """
    with unreadable(uri):
        files = data_files(uri)
        csv_files = [file for file in files if file.name.lower().endswith(_CSV_ENDS)]
        if not csv_files:
            table = spark.read.parquet(literal(uri))
            return table.columns, table.toDF(*(column(i) for i in range(len(table.columns))))
        if len(csv_files) < len(files):
            raise DataError(f"{uri} holds {len(csv_files)} CSV files and {len(files) - len(csv_files)} others")
        names = _header(csv_files[0])
        for file in csv_files[1:]:
            if _header(file) != names:
                raise DataError(f"{file.uri} has another first line than {csv_files[0].uri}: give one table")
        schema = ", ".join(f"{name} string" for name in [*(column(i) for i in range(len(names))), _CORRUPT])
        options = {"header": "true", "quote": '"', "escape": '"', "mode": "PERMISSIVE", "encoding": "UTF-8"}
        trimmed = {"ignoreLeadingWhiteSpace": "true", "ignoreTrailingWhiteSpace": "true"}
        # Without pruning Spark compares the length of every row with the header's, whatever columns are used.
        reader = spark.read.options(**options, **trimmed, columnPruning="false", columnNameOfCorruptRecord=_CORRUPT)
        return names, reader.csv([literal(file.uri) for file in csv_files], schema=schema)


@contextmanager
def unreadable(uri: str) -> Iterator[None]:
    """Turns what Spark raises on a table that it cannot open into a DataError with one clear line."""
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        java = getattr(error, "java_exception", None)
        text = str(java.getMessage() if java is not None else error).strip().splitlines()
        raise DataError(f"cannot read {uri} as Parquet: {text[0] if text else type(error).__name__}") from None


def data_files(uri: str) -> list[FileInfo]:
    """Lists the files of a table, hidden ones left out as Spark does.

    Raises:
        DataError: there are none.
    """
    store, name = parent_and_name(uri)
    try:
        files = list(Store(uri).files())
    except (FileNotFoundError, NotADirectoryError):
        files = [info for info in _siblings(store) if info.name == name]
        if not files:
            raise DataError(f"{uri}: no such file or folder") from None
        return files
    shown = [file for file in files if not any(part.startswith((".", "_")) for part in file.name.split("/"))]
    if not shown:
        raise DataError(f"{uri} is a folder without data files: expected Parquet or CSV")
    return shown


def literal(uri: str) -> str:
    """Escapes what Hadoop takes for a pattern in a path."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", uri)


def _siblings(store: Store) -> Iterator[FileInfo]:
    try:
        yield from store.files(recursive=False)
    except FileNotFoundError:
        return


def _header(file: FileInfo) -> list[str]:
    """Reads the column names of a CSV file."""
    store, name = parent_and_name(file.uri)
    system, root = store.arrow()
    try:
        with system.open_input_stream(posixpath.join(root, name), compression="detect") as stream:
            start = stream.read(_HEADER_BYTES)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {file.uri}: {str(error).splitlines()[0]}") from None
    lines = [line for line in start.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n") if line.strip()]
    if not lines:
        raise DataError(f"{file.uri} is empty")
    try:
        text = lines[0].decode("utf-8-sig")
        names = next(csv.reader([text], strict=True))
    except (UnicodeDecodeError, csv.Error, StopIteration):
        raise DataError(f"{file.uri}: the first line is not comma-separated UTF-8 text: save it as CSV UTF-8") from None
    return [name.strip() for name in names]
