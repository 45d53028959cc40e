"""Reads pieces of tables of predictions on executors. Nothing here needs Spark.

Tables of text are read by pyarrow's CSV reader, which is fast and strict. Where it refuses a file the reader of label
files takes over, which is slow, accepts more, and says on which line something is wrong.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from cxr_spark.datasets.csv_rows import CsvRows, Header
from cxr_spark.datasets.text_bytes import unpacked
from cxr_spark.datasets.text_lines import TextLines
from cxr_spark.errors import DataError
from cxr_spark.storage.store import parent_and_name

#: The number of rows in a batch.
BATCH_ROWS = 20_000
_BLOCK_BYTES = 4 << 20


class TextForm(NamedTuple):
    """How a table of text is written.

    Attributes:
        header: the facts that its first lines tell.
        is_utf_8: whether the text is UTF-8; else it is UTF-16.
    """

    header: Header
    is_utf_8: bool


class Piece(NamedTuple):
    """A file of a table, or a range of one.

    Attributes:
        uri: the full URI of the file.
        start: the first byte of a table of text, or the first row group of a Parquet file.
        end: the byte, or row group, behind the last; None for the end of the file.
        lines: the number of lines of the file before the piece.
    """

    uri: str
    start: int = 0
    end: int | None = None
    lines: int = 0


def read_text(piece: Piece, form: TextForm, wanted: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Reads a piece of a table of text.

    Args:
        piece: whole rows; with the table's head where it begins at 0.
        form: how the table is written.
        wanted: positions of the columns to read, in rising order.

    Yields:
        The wanted columns as strings, named as `column` names them. Missing values are empty.

    Raises:
        DataError: the rows cannot be read; names the line.
    """
    done = 0
    if form.is_utf_8:
        try:
            with _open(piece) as stream:
                for batch in _by_arrow(unpacked(stream, piece.uri), form, wanted, piece):
                    yield batch
                    done += batch.num_rows
                return
        except pa.ArrowInvalid:  # the other reader says what is wrong, if anything is
            pass
    with _open(piece) as stream:
        yield from _by_rows(stream, form, wanted, piece, done)


def read_parquet(piece: Piece, names: Sequence[str], wanted: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Reads a piece of a Parquet table.

    Args:
        piece: row groups of a file.
        names: the columns of the table.
        wanted: positions of the columns to read, in rising order.

    Yields:
        The wanted columns, named as `column` names them.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    store, name = parent_and_name(piece.uri)
    system, root = store.arrow()
    try:
        with system.open_input_file(posixpath.join(root, name)) as stream:
            file = pq.ParquetFile(stream)
            there = file.schema_arrow.names
            missing = [names[i] for i in wanted if names[i] not in there]
            if missing:
                raise DataError(f"{piece.uri}: no column {missing[0]!r}, which other files of the table have")
            simple = len(set(there)) == len(there) and not any("." in name for name in there)
            groups = range(piece.start, file.num_row_groups if piece.end is None else piece.end)
            columns = [names[i] for i in wanted] if simple else None
            for batch in file.iter_batches(BATCH_ROWS, row_groups=list(groups), columns=columns):
                arrays = [batch.column(batch.schema.names.index(names[i])) for i in wanted]
                yield pa.RecordBatch.from_arrays(arrays, [column(i) for i in wanted])
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"cannot read {piece.uri} as Parquet: {first_line(error)}") from None


def column(number: int) -> str:
    """Returns the name that the column at a position gets: those in a file can be anything, and can occur twice."""
    return f"c{number}"


def first_line(error: BaseException) -> str:
    """Returns the first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _open(piece: Piece) -> BinaryIO:
    store, name = parent_and_name(piece.uri)
    system, root = store.arrow()
    path = posixpath.join(root, name)
    if piece.end is None and piece.start == 0:
        stream: BinaryIO = system.open_input_stream(path, compression=None)
        return stream
    with system.open_input_file(path) as file:
        end = file.size() if piece.end is None else piece.end
        return io.BytesIO(file.read_at(end - piece.start, piece.start))


def _by_arrow(stream: BinaryIO, form: TextForm, wanted: Sequence[int], piece: Piece) -> Iterator[pa.RecordBatch]:
    names = [column(i) for i in range(len(form.header.names))]
    read = pyarrow.csv.ReadOptions(
        use_threads=False,
        block_size=_BLOCK_BYTES,
        skip_rows=0 if piece.start else form.header.lines,
        column_names=names,
    )
    parse = pyarrow.csv.ParseOptions(delimiter=form.header.separator, newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(
        include_columns=[column(i) for i in wanted],
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=False,
    )
    with pyarrow.csv.open_csv(stream, read_options=read, parse_options=parse, convert_options=convert) as reader:
        for batch in reader:
            yield from _sliced(batch)


def _by_rows(
    stream: BinaryIO, form: TextForm, wanted: Sequence[int], piece: Piece, done: int
) -> Iterator[pa.RecordBatch]:
    """Reads rows one by one, but for the first `done` of them."""
    lines = TextLines(stream, piece.uri, number=piece.lines)
    rows = CsvRows(lines, form.header if piece.start else None)
    cells: list[list[str]] = [[] for _ in wanted]
    for number, row in enumerate(rows):
        if number < done:
            continue
        for values, place in zip(cells, wanted, strict=True):
            values.append(row.cells[place])
        if len(cells[0]) == BATCH_ROWS:
            yield _batch(cells, wanted)
            cells = [[] for _ in wanted]
    if cells[0]:
        yield _batch(cells, wanted)


def _batch(cells: Sequence[list[str]], wanted: Sequence[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, pa.string()) for values in cells], [column(i) for i in wanted])


def _sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, BATCH_ROWS):
        yield batch.slice(start, BATCH_ROWS)
