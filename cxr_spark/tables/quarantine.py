"""The quarantine: the table of images that a job could not use. `prepare`, `score` and `explain` write it alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_spark.errors import DataError
from cxr_spark.storage.store import FileInfo, Store
from cxr_spark.tables.schema import QUARANTINE
from cxr_spark.tables.text import printable

#: The folders of the quarantine below the output of a job. Spark's readers skip folders whose names begin with _.
FOLDERS = ("quarantine", "_quarantine")
#: The number of images that an error names, and the number of characters of each path and of each detail in it.
_NAMED, _MOST_CHARACTERS = 3, 120


def write_quarantine(store: Store, name: str, table: pa.Table) -> memoryview:
    """Writes a file of the quarantine.

    Args:
        store: the output of the job.
        name: the name of the file below it.
        table: the refused images, columns of `schema.QUARANTINE`.

    Returns:
        The bytes that were written, for callers that record their size and hash.

    Raises:
        RunError: it cannot be written.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = memoryview(sink.getvalue())
    store.write_bytes(name, content)
    return content


def read_quarantine(store: Store, names: Collection[str] | None = None) -> Iterator[pa.Table]:
    """Reads the quarantine of a job's output, a file at a time.

    Args:
        store: the output of `prepare`, `score` or `explain`, or the quarantine's folder in it.
        names: the files that are read, of those that are there; None for all.

    Yields:
        Tables with the columns of `schema.QUARANTINE`, in the order of the files' names; none without refused images.

    Raises:
        DataError: there is no such folder, or a file is damaged or holds another table.
    """
    for file in _files(store):
        if names is not None and file.name not in names:
            continue
        uri = store.uri_of(file.name)
        try:
            table = pq.read_table(pa.BufferReader(store.read_bytes(file.name)))
        except FileNotFoundError:
            raise DataError(f"{uri} is gone since it was listed: say the command again") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            detail = " ".join(str(error).split())[:_MOST_CHARACTERS]
            raise DataError(f"{uri} cannot be read as Parquet ({detail}): run the job again with --overwrite") from None
        for field in QUARANTINE:
            if field.name not in table.column_names:
                raise DataError(f"{uri} is no quarantine: it has no column {field.name!r}")
        try:
            yield table.select(QUARANTINE.names).cast(QUARANTINE)
        except (pa.ArrowException, ValueError):
            raise DataError(f"{uri} is no quarantine: its columns are not texts") from None


def examples(store: Store) -> str:
    """Names the first images of a quarantine with their reasons, in a text of some hundred characters for an error.

    Raises:
        DataError: see `read_quarantine`.
    """
    told: list[str] = []
    number = 0
    for table in read_quarantine(store):
        for row in table.slice(0, _NAMED - len(told)).to_pylist():
            detail = f": {_shortened(row['detail'])}" if row["detail"] else ""
            told.append(f"{_shortened(row['uri'], end=True)} ({row['reason'][:_MOST_CHARACTERS]}{detail})")
        number += table.num_rows
    more = f" and {number - len(told)} more" if number > len(told) else ""
    return ", ".join(told) + more


def _files(store: Store) -> list[FileInfo]:
    try:
        files = list(store.files())
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{store.uri}: no such folder: expected the output of prepare, score or explain") from None
    is_one = store.uri.rstrip("/").rpartition("/")[2] in FOLDERS
    wanted = [file for file in files if is_one or file.name.partition("/")[0] in FOLDERS]
    return sorted((file for file in wanted if file.name.endswith(".parquet")), key=lambda file: file.name)


def _shortened(text: str, *, end: bool = False) -> str:
    """Returns a text as one short line. Of a long text the beginning is kept, or the end."""
    line = " ".join(printable(text).split())
    if len(line) <= _MOST_CHARACTERS:
        return line
    return f"...{line[3 - _MOST_CHARACTERS :]}" if end else f"{line[: _MOST_CHARACTERS - 3]}..."
