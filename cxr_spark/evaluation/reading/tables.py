"""Opens a table of predictions on the driver: finds its columns, and cuts it into pieces for the executors.

The table is Parquet or text; its first bytes tell which, never its name. Only the head of each file is read. Large
files of text are also searched for places between rows where they can be cut.
"""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_spark.datasets.csv_rows import CsvRows
from cxr_spark.datasets.text_bytes import is_gzip
from cxr_spark.datasets.text_lines import TextLines
from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.pieces import Piece, TextForm, first_line
from cxr_spark.outputs.own_files import finished_files, told
from cxr_spark.storage.store import FileInfo, Store, parent_and_name

log = logging.getLogger(__name__)

#: About how many bytes of a table one task reads.
TASK_BYTES = 32 << 20
_PARQUET_MAGIC = b"PAR1"
_SCAN_BYTES = 8 << 20


@dataclass(frozen=True)
class Table:
    """A table that is not read yet.

    Attributes:
        source: its URI, for messages.
        names: the names of the columns in the files; they can be anything, and can occur twice.
        types: the types of the columns; all columns of a table of text are strings.
        tasks: the pieces that each task reads.
        form: how a table of text is written; None for Parquet.
    """

    source: str
    names: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    tasks: tuple[tuple[Piece, ...], ...]
    form: TextForm | None


def open_table(uri: str) -> Table:
    """Opens a table.

    Args:
        uri: a Parquet file or a text file such as CSV (gzipped or not), or a folder of one kind.

    Raises:
        DataError: there is nothing, or nothing that can be read.
    """
    files = data_files(uri)
    parquet = [file for file in files if _is_parquet(file)]
    if parquet and len(parquet) < len(files):
        other = next(file for file in files if file not in parquet)
        raise DataError(f"{uri} holds Parquet files and others, such as {other.name}: give a table of one kind")
    if parquet:
        schema = _parquet_schema(files[0])
        pieces = [(piece, size) for file in files for piece, size in _row_groups(file)]
        return Table(uri, tuple(schema.names), tuple(schema.types), _tasks(pieces), None)
    form = _text_form(files[0])
    for file in files[1:]:
        if _text_form(file).header.names != form.header.names:
            raise DataError(f"{file.uri} has other columns than {files[0].uri}: give one table")
    names = form.header.names
    text = [(piece, size) for file in files for piece, size in _cut(file, form)]
    return Table(uri, names, (pa.string(),) * len(names), _tasks(text), form)


def data_files(uri: str) -> list[FileInfo]:
    """Lists the files of a table, hidden ones left out as Spark does.

    Of the finished output of the score job these are the files that the job wrote; others in the folder are no
    predictions, and a warning names them.

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
    scored = finished_files(Store(uri), "score")
    if scored is not None:
        others = [file.name for file in shown if file.name not in scored]
        if others:
            log.warning("%s: left out %d files that the score job did not write: %s", uri, len(others), told(others))
        shown = [file for file in shown if file.name in scored]
    if not shown:
        raise DataError(f"{uri} is a folder without data files: expected Parquet or CSV")
    return shown


def _siblings(store: Store) -> Iterator[FileInfo]:
    try:
        yield from store.files(recursive=False)
    except FileNotFoundError:
        return


def _open(file: FileInfo) -> Any:
    store, name = parent_and_name(file.uri)
    system, root = store.arrow()
    return system.open_input_file(posixpath.join(root, name))


def _is_parquet(file: FileInfo) -> bool:
    with _open(file) as stream:
        found = stream.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    if not found and file.name.lower().endswith((".parquet", ".pq")):
        raise DataError(f"cannot read {file.uri} as Parquet: it does not begin like a Parquet file")
    return bool(found)


def _parquet_schema(file: FileInfo) -> pa.Schema:
    try:
        with _open(file) as stream:
            return pq.read_schema(stream)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot read {file.uri} as Parquet: {first_line(error)}") from None


def _row_groups(file: FileInfo) -> Iterator[tuple[Piece, int]]:
    """Gives a small file as a whole, and the row groups of a large one."""
    if file.size <= TASK_BYTES:
        yield Piece(file.uri), file.size
        return
    try:
        with _open(file) as stream:
            metadata = pq.read_metadata(stream)
            sizes = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot read {file.uri} as Parquet: {first_line(error)}") from None
    for number, size in enumerate(sizes):
        yield Piece(file.uri, number, number + 1), size


def _text_form(file: FileInfo) -> TextForm:
    with _open(file) as stream:
        lines = TextLines(stream, file.uri)
        return TextForm(CsvRows(lines).header, lines.is_utf_8)


def _cut(file: FileInfo, form: TextForm) -> Iterator[tuple[Piece, int]]:
    """Cuts a large file of plain text between rows; other files are one piece."""
    start = lines = 0
    if file.size > TASK_BYTES and form.is_utf_8:
        for end, before in _row_ends(file):
            yield Piece(file.uri, start, end, lines), end - start
            start, lines = end, before
    if start < file.size or start == 0:
        yield Piece(file.uri, start, None, lines), file.size - start


def _row_ends(file: FileInfo) -> Iterator[tuple[int, int]]:
    """Finds places between rows, about `TASK_BYTES` apart: the byte there, and how many lines come before it.

    A line break within quotes ends no row: an odd number of quotes comes before it.
    """
    last = position = lines = quotes = 0
    with _open(file) as stream:
        while block := stream.read(_SCAN_BYTES):
            if position == 0 and is_gzip(block):
                return
            at = 0
            if position + len(block) - last >= TASK_BYTES:
                seen = quotes
                while (found := block.find(b"\n", at)) >= 0:
                    seen += block.count(b'"', at, found)
                    at = found + 1
                    if seen % 2 == 0:
                        last = position + at
                        yield last, lines + block.count(b"\n", 0, at)
                        break
            quotes += block.count(b'"')
            lines += block.count(b"\n")
            position += len(block)


def _tasks(pieces: Sequence[tuple[Piece, int]]) -> tuple[tuple[Piece, ...], ...]:
    """Puts small pieces together, so that each task has about `TASK_BYTES` to read."""
    tasks: list[tuple[Piece, ...]] = []
    gathered: list[Piece] = []
    total = 0
    for piece, size in pieces:
        if gathered and total + size > TASK_BYTES:
            tasks.append(tuple(gathered))
            gathered, total = [], 0
        gathered.append(piece)
        total += size
    return (*tasks, tuple(gathered))
