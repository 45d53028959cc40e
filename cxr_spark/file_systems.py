"""What the Store needs of a file system, for the three kinds there are: local disks, HDFS, and object stores.

They differ in how a file comes into being whole: by a rename on the first two, by a single upload on the third.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import fsspec
import pyarrow.fs as pafs

from cxr_spark.errors import UsageError
from cxr_spark.uris import authority_of, scheme_of

COPY_BYTES = 8 << 20
Data = bytes | memoryview


class Entry(NamedTuple):
    """One file: its path in the file system, size in bytes, time of change in seconds since the epoch."""

    path: str
    size: int
    modified: float


class FileSystem(Protocol):
    """The operations; all take absolute paths. A missing file is FileNotFoundError, all else what the library says."""

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""

    def size(self, path: str) -> int:
        """Returns the size of a file in bytes."""

    def open(self, path: str) -> BinaryIO:
        """Opens a file for reading."""

    def write(self, path: str, data: Data) -> None:
        """Writes a file as a whole."""

    def upload(self, local: Path, path: str) -> None:
        """Copies a local file, as a whole."""

    def create(self, path: str, data: Data) -> bool:
        """Writes a file as a whole unless it is there; returns whether it did."""

    def walk(self, folder: str, recursive: bool) -> Iterator[Entry]:
        """Lists the files below a folder, in no order."""

    def names(self, folder: str) -> list[str]:
        """Returns the names of what lies in a folder: files, folders and links."""

    def delete(self, path: str) -> bool:
        """Deletes a file, a link or a folder with all that is in it; returns whether there was one."""

    def arrow(self) -> pafs.FileSystem:
        """Returns the file system as pyarrow wants it."""


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
            from cxr_spark.hdfs import HdfsFileSystem
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


@contextlib.contextmanager
def temporary_name(path: str, remove: Callable[[str], object]) -> Iterator[str]:
    """Gives a name beside a path to write to, hidden from Spark, and removes what is left there in the end."""
    temporary = f"{posixpath.dirname(path).rstrip('/')}/{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    try:
        yield temporary
    finally:
        with contextlib.suppress(Exception):  # it is gone where all went well; else the first error is the one to show
            remove(temporary)


TEMPORARY_PREFIX, TEMPORARY_SUFFIX = ".cxr-", ".tmp"


class LocalFileSystem:
    """The disks that this machine mounts, network ones too."""

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there; a link that leads nowhere is not."""
        try:
            os.stat(path)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def size(self, path: str) -> int:
        """Returns the size of a file in bytes."""
        return os.stat(path).st_size  # noqa: PTH116

    def open(self, path: str) -> BinaryIO:
        """Opens a file for reading."""
        try:
            return Path(path).open("rb")
        except NotADirectoryError as error:  # a/b where a is a file: there is no b
            raise FileNotFoundError(*error.args) from None

    def write(self, path: str, data: Data) -> None:
        """Writes a file as a whole, on the disk before its name is."""
        with self._made(path, lambda stream: stream.write(data)) as temporary:
            os.replace(temporary, path)  # noqa: PTH105

    def upload(self, local: Path, path: str) -> None:
        """Copies a local file, as a whole."""
        with (
            local.open("rb") as source,
            self._made(path, lambda stream: shutil.copyfileobj(source, stream, COPY_BYTES)) as temporary,
        ):
            os.replace(temporary, path)  # noqa: PTH105

    def create(self, path: str, data: Data) -> bool:
        """Writes a file as a whole unless it is there; returns whether it did."""
        with self._made(path, lambda stream: stream.write(data)) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                # NFS repeats a request whose answer was lost; the second one finds what the first one made.
                return os.stat(temporary).st_nlink == 2  # noqa: PTH116
            except OSError:  # no hard links here (SMB, some FUSE ones): exclusive still, but not whole at once
                try:
                    with Path(path).open("xb") as stream:
                        stream.write(data)
                except FileExistsError:
                    return False
        return True

    @contextlib.contextmanager
    def _made(self, path: str, write: Callable[[BinaryIO], object]) -> Iterator[str]:
        os.makedirs(posixpath.dirname(path), exist_ok=True)  # noqa: PTH103
        with temporary_name(path, os.unlink) as temporary:
            with Path(temporary).open("wb") as stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            yield temporary

    def walk(self, folder: str, recursive: bool) -> Iterator[Entry]:
        """Lists the regular files below a folder; links are followed, but not back to a folder above.

        A link that leads nowhere is listed as a file of 0 bytes, so that whoever reads it says that it is missing.
        """
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"no such folder: {folder}")
        yield from _walk(folder.rstrip("/"), recursive, (os.path.realpath(folder),))

    def names(self, folder: str) -> list[str]:
        """Returns the names of what lies in a folder."""
        return os.listdir(folder)  # noqa: PTH208

    def delete(self, path: str) -> bool:
        """Deletes a file, a link (not what it leads to) or a folder; returns whether there was one."""
        try:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                shutil.rmtree(path)
            else:
                os.unlink(path)  # noqa: PTH108
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def arrow(self) -> pafs.FileSystem:
        """Returns pyarrow's own."""
        return pafs.LocalFileSystem()


def _walk(folder: str, recursive: bool, above: tuple[str, ...]) -> Iterator[Entry]:
    with os.scandir(folder or "/") as found:
        entries = list(found)
    for entry in entries:
        path = f"{folder}/{entry.name}"
        try:
            if entry.is_dir():
                real = os.path.realpath(path) if entry.is_symlink() else f"{above[-1].rstrip('/')}/{entry.name}"
                if recursive and real not in above:
                    yield from _walk(path, recursive, (*above, real))
                continue
            status = entry.stat()
        except FileNotFoundError:
            if not entry.is_symlink():  # gone since
                continue
            status = entry.stat(follow_symlinks=False)
            yield Entry(path, 0, status.st_mtime)
            continue
        if stat.S_ISREG(status.st_mode):  # reading a pipe or a device could wait for ever
            yield Entry(path, status.st_size, status.st_mtime)


class RemoteFileSystem:
    """Whatever fsspec has, S3 above all: an object shows only once it is whole.

    Args:
        remote: fsspec's file system.
    """

    def __init__(self, remote: Any) -> None:
        self._remote = remote

    def exists(self, path: str) -> bool:
        """Whether an object or prefix is there. (fsspec's own `exists` takes any fault, such as no access, for no.)"""
        try:
            self._remote.info(path)
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str) -> int:
        """Returns the size of an object in bytes."""
        return int(self._remote.info(path)["size"])

    def open(self, path: str) -> BinaryIO:
        """Opens an object for reading."""
        return self._remote.open(path, "rb")  # type: ignore[no-any-return]

    def write(self, path: str, data: Data) -> None:
        """Writes an object in one request."""
        self._remote.pipe_file(path, bytes(data))

    def upload(self, local: Path, path: str) -> None:
        """Copies a local file into an object."""
        self._remote.put_file(str(local), path)

    def create(self, path: str, data: Data) -> bool:
        """Writes an object unless it is there (a conditional request, where the store has such); whether it did."""
        try:
            self._remote.pipe_file(path, bytes(data), mode="create")
        except FileExistsError:
            return False
        return True

    def walk(self, folder: str, recursive: bool) -> Iterator[Entry]:
        """Lists the objects below a prefix."""
        if not self._remote.isdir(folder):
            raise FileNotFoundError(f"no such folder: {folder}")
        for path, info in self._remote.find(folder, maxdepth=None if recursive else 1, detail=True).items():
            yield Entry(path, info["size"], _modified(info))

    def names(self, folder: str) -> list[str]:
        """Returns the names of what lies under a prefix."""
        return [str(path).rstrip("/").rpartition("/")[2] for path in self._remote.ls(folder, detail=False)]

    def delete(self, path: str) -> bool:
        """Deletes an object or all under a prefix; returns whether there was one."""
        try:
            self._remote.rm(path, recursive=self._remote.isdir(path))
        except FileNotFoundError:
            return False
        return True

    def arrow(self) -> pafs.FileSystem:
        """Returns it wrapped for pyarrow."""
        return pafs.PyFileSystem(pafs.FSSpecHandler(self._remote))


def _modified(info: dict[str, Any]) -> float:
    """Returns the time of change from what the different file systems call it."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(key)
        if value is not None:
            return float(value.timestamp() if hasattr(value, "timestamp") else value)
    return 0.0
