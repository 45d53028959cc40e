"""Opens the file system that a URI belongs to, and turns whatever one of them raises into the errors of the program."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import BinaryIO, cast

import fsspec

from cxr_spark.errors import RunError, StorageAwayError, UsageError
from cxr_spark.storage.file_system import FileSystem, is_unreachable
from cxr_spark.storage.local import LocalFileSystem
from cxr_spark.storage.object_store import RemoteFileSystem
from cxr_spark.storage.uris import authority_of, scheme_of


@contextlib.contextmanager
def faults(doing: str, uri: str) -> Iterator[None]:
    """Turns whatever a file system raises into one kind of error; a missing file stays FileNotFoundError."""
    try:
        yield
    except (FileNotFoundError, RunError, UsageError):
        raise
    except Exception as error:
        detail = getattr(error, "strerror", None) or str(error).strip().partition("\n")[0] or type(error).__name__
        kind = StorageAwayError if is_unreachable(error) else RunError
        raise kind(f"cannot {doing} {uri}: {detail}") from error


class _Reader(io.RawIOBase):
    """A stream of any file system that raises the errors of `faults`."""

    def __init__(self, stream: BinaryIO, uri: str) -> None:
        super().__init__()
        self._stream = stream
        self._uri = uri

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        with faults("read", self._uri):
            return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with faults("read", self._uri):
            self._stream.seek(offset, whence)
            return self._stream.tell()  # hdfs-native's own `seek` returns nothing

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def open_file_system(uri: str) -> tuple[FileSystem, str]:
    """Returns the file system of a resolved URI, and the path in it that the URI stands for.

    Raises:
        UsageError: no file system is known for the scheme.
    """
    scheme, authority = scheme_of(uri), authority_of(uri)
    path = uri.partition("://")[2][len(authority) :] or "/"
    if scheme == "file":
        return LocalFileSystem(), path
    if scheme in ("hdfs", "viewfs"):
        try:
            from cxr_spark.storage.hdfs import HdfsFileSystem
        except ImportError:
            raise UsageError(
                f"{uri} is on HDFS: install the Python package hdfs-native on every node, or ship it with the job"
            ) from None
        return HdfsFileSystem(scheme, authority), path
    try:
        # A cached listing would hide what other processes write, such as a lock.
        remote, root = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise UsageError(f"no file system for {uri!r}: {error}") from None
    return RemoteFileSystem(remote), root


def checked_stream(stream: BinaryIO, uri: str) -> BinaryIO:
    """Wraps a stream of any file system so that it raises the errors of `faults`.

    Args:
        stream: the stream, opened for reading.
        uri: the URI of the file, for messages.
    """
    return cast(BinaryIO, _Reader(stream, uri))
