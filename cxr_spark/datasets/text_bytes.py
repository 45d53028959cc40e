"""Unpacks the bytes of a text file, gzipped or not, in pieces and in bounded memory."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from cxr_spark.errors import DataError

#: A gzipped file that unpacks to more than this many times its size is refused: it is made to fill the memory. Gzip
#: makes the text of real tables 10 to 30 times smaller.
MAX_RATIO = 100
#: Up to this number of unpacked bytes the ratio does not matter, as so little does no harm.
_HARMLESS_BYTES = 1 << 24

#: The bytes that are read at a time.
PIECE = 1 << 20
#: Bytes of a gzipped file that are unpacked at a time. A file can hold thousands of gzip members, and what follows a
#: member in the piece is copied for each.
_PACKED_PIECE = 1 << 13
_GZIP_MAGIC = b"\x1f\x8b"


class _Pieces(io.RawIOBase):
    """A stream of bytes that come in pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def stream_of(pieces: Iterator[bytes]) -> io.BufferedReader:
    """Returns pieces of bytes as one stream."""
    return io.BufferedReader(_Pieces(pieces), PIECE)


def is_gzip(start: bytes) -> bool:
    """Whether a file that begins with these bytes is gzipped."""
    return start.startswith(_GZIP_MAGIC)


def unpacked(stream: BinaryIO, source: str) -> BinaryIO:
    """Returns the bytes of a text file, gzipped or not, as a stream of the unpacked text.

    Raises:
        DataError: while it is read, where the gzip file is broken or unpacks to far more than a table does.
    """
    return stream_of(pieces_of(stream, source, None))


def pieces_of(stream: BinaryIO, source: str, limit: int | None) -> Iterator[bytes]:
    """Yields the unpacked bytes of a text in pieces; the first holds 64 KiB or the whole file."""
    packed = stream.read(_PACKED_PIECE)
    if not is_gzip(packed):
        size = 0
        while packed:
            size += len(packed)
            _refuse_large(size, limit, source)
            yield packed
            packed = stream.read(PIECE)
        return
    pending = b""
    size = 0
    for piece in _members(packed, stream, source):
        pending += piece
        size += len(piece)
        _refuse_large(size, limit, source)
        if len(pending) >= PIECE // 16:
            yield pending
            pending = b""
    yield pending


def _members(packed: bytes, stream: BinaryIO, source: str) -> Iterator[bytes]:
    """Unpacks a gzip file, which may hold several members one after the other."""
    member = zlib.decompressobj(wbits=31)
    taken = unpacked = 0
    try:
        while packed:
            taken += len(packed)
            rest = packed
            while rest:
                if member.eof:
                    rest = rest.lstrip(b"\0")  # gzip allows zeros after a member
                    if not rest:
                        break
                    member = zlib.decompressobj(wbits=31)
                piece = member.decompress(rest, PIECE)
                rest = member.unused_data if member.eof else member.unconsumed_tail
                unpacked += len(piece)
                if unpacked > max(_HARMLESS_BYTES, MAX_RATIO * taken):
                    raise DataError(
                        f"{source}: the gzip file unpacks to more than {MAX_RATIO} times its size, no table does: "
                        "unpack it yourself if you trust it"
                    )
                yield piece
            packed = stream.read(_PACKED_PIECE)
    except zlib.error as fault:
        raise DataError(f"{source}: is a broken gzip file ({fault})") from None
    if not member.eof:
        raise DataError(f"{source}: the gzip stream ends early: the file is truncated")


def _refuse_large(size: int, limit: int | None, source: str) -> None:
    if limit is not None and size > limit:
        raise DataError(
            f"{source}: is larger than {limit >> 20} MiB when unpacked; no label file is: "
            "leave out the columns that are not needed"
        )
