"""Reads a CSV file of text columns and keeps the line of every row, so that an error can name it."""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_spark.errors import DataError

T = TypeVar("T")

#: Far above any public label file (CheXpert's is 30 MB); stops a decompression bomb.
MAX_TEXT_BYTES = 1 << 30

_GZIP_MAGIC = b"\x1f\x8b"
_OTHER_KINDS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"PK\x03\x04", "a ZIP archive or Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)
_BRACKETED = re.compile(r"(?P<name>[^\[]*)\[(?P<parts>[^\]]*)\]")


@dataclass(frozen=True)
class CsvTable:
    """The text columns of a CSV file.

    Attributes:
        source: where the file came from, for messages.
        columns: values by column name, every cell stripped of surrounding blanks.
        lines: the line of the file (1-based, the header is line 1) on which each row begins.
    """

    source: str
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def error(self, row: int, message: str) -> DataError:
        """Returns the error for row `row` (0-based), which names source and line."""
        return DataError(f"{self.source}, line {self.lines[row]}: {message}")

    def require(self, names: Sequence[str], kind: str) -> None:
        """Refuses the file unless it has all the columns.

        Args:
            names: the columns that must be there.
            kind: what the file should be, for the message.

        Raises:
            DataError: a column is missing.
        """
        missing = [name for name in names if name not in self.columns]
        if missing:
            have = ", ".join(repr(shorten(name)) for name in list(self.columns)[:12])
            raise DataError(
                f"{self.source}: no column {', '.join(map(repr, missing))}; the first line has {have}. Expected {kind}"
            )

    def parse(self, name: str, parse: Callable[[str], T]) -> tuple[NDArray[np.int64], list[T]]:
        """Parses a column, each distinct value once.

        Args:
            name: the column.
            parse: turns a cell into a value; raises ValueError, with a message, for a cell that is wrong.

        Returns:
            Indices of shape (rows,) and the list of parsed values that they point into.

        Raises:
            DataError: a cell is wrong; names its line.
        """
        codes, distinct = pd.factorize(np.array(self.columns[name], dtype=object))
        values = []
        for code, text in enumerate(distinct):
            try:
                values.append(parse(text))
            except ValueError as fault:
                raise self.error(int(np.argmax(codes == code)), f"{name}: {fault}") from None
        return codes, values

    def parsed(self, name: str, parse: Callable[[str], T]) -> list[T]:
        """Parses a column as `parse` does and gives one value a row."""
        codes, values = self.parse(name, parse)
        return [values[code] for code in codes]


def read_csv(data: bytes, source: str) -> CsvTable:
    """Reads a comma-separated file, plain or gzipped.

    Takes LF, CRLF and CR line ends, a UTF-8 byte order mark, quoted cells, blank lines, and empty cells at the end of
    header or rows. A header cell like `OriginalImage[Width,Height]` names as many columns as it has parts.

    Args:
        data: the file's bytes.
        source: where they came from, for messages.

    Returns:
        The columns, with at least one row.

    Raises:
        DataError: the bytes are no such file, or a row has another number of cells than the header.
    """
    text = decode_text(data, source)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    line = 1
    try:
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                rows.append(row)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as fault:
        raise DataError(f"{source}, line {line}: not a CSV row ({fault}); check the quotes") from None
    if len(rows) < 2:
        raise DataError(f"{source}: has a first line but no rows" if rows else f"{source}: is empty")

    header = _header(rows.pop(0), len(rows[0]), source)
    lines.pop(0)
    width = len(header)
    if any(len(row) != width for row in rows):
        rows = [_fitted(row, header, source, line) for row, line in zip(rows, lines, strict=True)]
    columns = {
        name: [cell.strip() for cell in cells] for name, cells in zip(header, zip(*rows, strict=True), strict=True)
    }
    return CsvTable(source=source, columns=columns, lines=lines)


def decode_text(data: bytes, source: str) -> str:
    """Decodes the bytes of a text file, plain or gzipped, and refuses what is plainly not one.

    Raises:
        DataError: empty, binary, HTML, not UTF-8, a broken gzip stream, or larger than `MAX_TEXT_BYTES`.
    """
    if data.startswith(_GZIP_MAGIC):
        data = _gunzip(data, source)
    if not data.strip():
        raise DataError(f"{source}: is empty")
    for magic, kind in _OTHER_KINDS:
        if data.startswith(magic):
            raise DataError(f"{source}: is {kind}, expected comma-separated UTF-8 text (gzipped or not)")
    if b"\0" in data:
        raise DataError(f"{source}: is a binary file (NUL at byte {data.index(0)}), expected comma-separated text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise DataError(f"{source}: is not UTF-8 text (byte {fault.start}): save it as UTF-8") from None
    if re.match(r"\s*<(!doctype|html|\?xml)", text[:1000], re.IGNORECASE):
        raise DataError(f"{source}: is an HTML or XML page, expected comma-separated text: was the download refused?")
    return text


def shorten(value: str, limit: int = 80) -> str:
    """Returns a value cut to a length that fits a one-line message."""
    return value if len(value) <= limit else value[:limit] + "..."


def _gunzip(data: bytes, source: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while data:  # a gzip file may hold several members, one after the other
            member = zlib.decompressobj(wbits=31)
            parts.append(member.decompress(data, MAX_TEXT_BYTES - size + 1))
            size += len(parts[-1])
            if size > MAX_TEXT_BYTES:
                raise DataError(f"{source}: is larger than {MAX_TEXT_BYTES >> 20} MiB when unpacked; no label file is")
            if not member.eof:
                raise DataError(f"{source}: the gzip stream ends early: the file is truncated")
            data = member.unused_data.lstrip(b"\0")  # gzip allows zero padding after a member
    except zlib.error as fault:
        raise DataError(f"{source}: is a broken gzip file ({fault})") from None
    return b"".join(parts)


def _header(cells: list[str], row_width: int, source: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:  # the 2017 NIH header ends with a comma, its rows do not
        names.pop()
    if len(names) < row_width:  # a quoted cell "OriginalImage[Width,Height]" over two columns
        split = [part for name in names for part in _bracketed_names(name)]
        names = split if len(split) == row_width else names
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DataError(f"{source}, line 1: the column {shorten(min(twice))!r} is there twice")
    return names


def _bracketed_names(name: str) -> list[str]:
    match = _BRACKETED.fullmatch(name)
    return [f"{match['name']}[{part}]" for part in match["parts"].split(",")] if match else [name]


def _fitted(row: list[str], header: list[str], source: str, line: int) -> list[str]:
    width = len(header)
    if len(row) < width or any(cell.strip() for cell in row[width:]):
        raise DataError(
            f"{source}, line {line}: {len(row)} fields, expected {width} as in the header; "
            f"the row begins {shorten(','.join(row), 60)!r}"
        )
    return row[:width]
