"""Turns the bytes of any text file into lines, in bounded memory.

Every table that a user gives goes through here: label files, image lists, box lists and predictions. The file may be
gzipped (whatever its name), and may be UTF-8 or UTF-16. It is read in pieces, so that a small hostile file cannot fill
the memory.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from cxr_spark.datasets.text_bytes import pieces_of, stream_of
from cxr_spark.errors import DataError

#: The largest size of an unpacked table that is held in memory. CheXpert's label file, the largest public one, has
#: 30 MB.
MAX_TEXT_BYTES = 1 << 30
#: The longest line, in characters. The longest line of a public label file has some hundreds.
MAX_LINE = 1 << 20
#: The most blank lines in a row.
MAX_BLANK_LINES = 100_000
#: The first bytes of files that are no text, and the names of these kinds in messages.
OTHER_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"PK\x03\x04", "a ZIP archive or Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"ARROW1", "an Arrow (Feather) file"),
    (b"FEA1", "a Feather file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\xfd7zXZ", "an XZ archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x80\x04\x95", "a Python pickle"),
)
_PAGE = re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
_JSON = re.compile(r"\s*(\{\s*[\"}]|\[\s*[\[\]{\"])")
_EXPECTED = "expected a table as text, such as CSV (gzipped or not)"


class TextLines:
    """The lines of a text file, each with its line end; an iterator for `csv.reader`.

    Attributes:
        source: where the file came from, for messages.
        number: the number of lines that were read so far.
        is_utf_8: whether the text is UTF-8; else it is UTF-16.
    """

    def __init__(self, stream: BinaryIO, source: str, limit: int | None = None, number: int = 0) -> None:
        """Opens the lines of a file.

        Args:
            stream: the file's bytes.
            source: where they came from, for messages.
            limit: the most bytes of unpacked text; None for any number.
            number: the number of lines of the file before the beginning of the stream.

        Raises:
            DataError: the file is empty or not text.
        """
        self.source = source
        self.number = number
        self._row = self._blank = 0
        pieces = pieces_of(stream, source, limit)
        first = next(pieces, b"")
        _refuse_other_kinds(first, source)
        encoding = _encoding(first)
        self.is_utf_8 = encoding == "utf-8-sig"
        pieces = _checked_for_nul(first, pieces, source) if self.is_utf_8 else _chain(first, pieces)
        raw = stream_of(pieces)
        self._text = io.TextIOWrapper(raw, encoding=encoding, newline="")
        self._ahead: list[str] = []
        self._refuse_pages()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._ahead.pop() if self._ahead else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self._row += len(line)
        if self._row > MAX_LINE:
            raise DataError(
                f"{self.source}, line {self.number}: the row is longer than {MAX_LINE:,} characters, no row of a table "
                f"is: {_EXPECTED}; check the quotes and the line ends"
            )
        return line

    def peek(self) -> str:
        """Returns the next line and leaves it where it is; an empty text at the end."""
        if not self._ahead:
            self._ahead.append(self._read())
        return self._ahead[-1]

    def end_row(self, blank: bool = False) -> None:
        """Notes that a row, or a blank line, is complete. The length of the next row counts from here, see `MAX_LINE`.

        Raises:
            DataError: there are more than `MAX_BLANK_LINES` blank lines in a row.
        """
        self._row = 0
        self._blank = self._blank + 1 if blank else 0
        if self._blank > MAX_BLANK_LINES:
            raise DataError(
                f"{self.source}, line {self.number}: more than {MAX_BLANK_LINES:,} blank lines in a row, {_EXPECTED}"
            )

    def _read(self) -> str:
        try:
            line = self._text.readline(MAX_LINE + 1)
        except UnicodeDecodeError as fault:
            found = fault.object[fault.start : fault.start + 1].hex()
            raise DataError(
                f"{self.source}: is not UTF-8 text (byte 0x{found} after line {self.number}): save it as UTF-8"
                if "utf-8" in fault.encoding
                else f"{self.source}: begins like UTF-16 text, but is not ({fault.reason} after line {self.number}): "
                "save it as UTF-8"
            ) from None
        if "\0" in line:
            raise DataError(f"{self.source}: is a binary file (NUL after line {self.number}), {_EXPECTED}")
        return line

    def _refuse_pages(self) -> None:
        blank: list[str] = []
        while (line := self._read()) and not line.strip() and len(blank) <= MAX_BLANK_LINES:
            blank.append(line)
        if not line.strip():
            raise DataError(f"{self.source}: is empty" if not line else f"{self.source}: begins with blank lines only")
        self._ahead = [line, *reversed(blank)]
        if _PAGE.match(line[:1000]):
            raise DataError(f"{self.source}: is an HTML or XML page, {_EXPECTED}: was the download refused?")
        if _JSON.match(line[:1000]) or line.strip() in ("{", "["):
            raise DataError(f"{self.source}: is JSON, {_EXPECTED}: convert it with pandas or another tool")


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _checked_for_nul(first: bytes, rest: Iterator[bytes], source: str) -> Iterator[bytes]:
    done = 0
    for piece in _chain(first, rest):
        at = piece.find(0)
        if at >= 0:
            raise DataError(f"{source}: is a binary file (NUL at byte {done + at}), {_EXPECTED}")
        done += len(piece)
        yield piece


def _refuse_other_kinds(start: bytes, source: str) -> None:
    for magic, kind in OTHER_KINDS:
        if start.startswith(magic):
            raise DataError(f"{source}: is {kind}, {_EXPECTED}")


def _encoding(start: bytes) -> str:
    """Finds the encoding by the byte order mark or, without one, by the NULs that UTF-16 has in Latin letters."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    head = start[:64]
    if len(head) >= 4 and len(head) % 2 == 0:
        even, odd = head[::2], head[1::2]
        if not any(odd) and all(even):
            return "utf-16-le"
        if not any(even) and all(odd):
            return "utf-16-be"
    return "utf-8-sig"
