"""Faults of storage, for tests: streams whose reads fail as those of a lost server or a failing disk do."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from typing import BinaryIO

import pytest

from cxr_spark.storage.local import LocalFileSystem

FAULTS = {
    "refused": ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)),
    "timeout": TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)),
    "EIO": OSError(errno.EIO, os.strerror(errno.EIO)),
    "ESTALE": OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    "hdfs-native": RuntimeError("IO error: Connection refused (os error 111)"),
}


class _Failing(io.RawIOBase):
    """A stream that gives some bytes and then fails."""

    def __init__(self, inner: BinaryIO, error: Exception, good_reads: int) -> None:
        super().__init__()
        self._inner, self._error, self._good = inner, error, good_reads

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._good == 0:
            raise self._error
        self._good -= 1
        return self._inner.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()


def break_reads(
    monkeypatch: pytest.MonkeyPatch, error: Exception, wanted: Callable[[str], bool], good_reads: int = 0
) -> None:
    """Makes reads of some local files fail with an error, after a number of reads that do not."""
    whole = LocalFileSystem.open

    def opened(self: LocalFileSystem, path: str) -> BinaryIO:
        stream = whole(self, path)
        return _Failing(stream, error, good_reads) if wanted(path) else stream  # type: ignore[return-value]

    monkeypatch.setattr(LocalFileSystem, "open", opened)
