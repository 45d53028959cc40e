"""What the Store needs of a file system, for the three kinds there are: local disks, HDFS, and object stores.

They differ in how a file comes into being whole: by a rename on the first two, by a single upload on the third.
"""

from __future__ import annotations

import contextlib
import errno
import posixpath
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple, Protocol

import pyarrow.fs as pafs

#: hdfs-native is written in Rust, which puts the number of the operating system's error into the text like this.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
#: Errors of the network, of disks that fail or are gone (EIO, ENXIO, ENODEV), of mounts whose server is gone or has
#: restarted (ESTALE of NFS, ENOTCONN of FUSE, ...), and of a store that is overloaded (s3fs gives EBUSY for that).
_STORAGE_IS_AWAY = frozenset({
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH,
    errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ENOTCONN, errno.ESTALE, errno.ENXIO,
    errno.ENODEV, errno.EREMOTEIO, errno.EIO, errno.EBUSY,
})  # fmt: skip
Data = bytes | memoryview
Refused = Callable[[str], None]


class Entry(NamedTuple):
    """One file: its path in the file system, size in bytes, time of change in seconds since the epoch."""

    path: str
    size: int
    modified: float


class Tree(NamedTuple):
    """What lies below a folder, by paths in the file system."""

    files: list[str]
    folders: list[str]
    links: list[str]


def is_unreachable(error: Exception) -> bool:
    """Whether an error is a fault of the storage, which says nothing about the file that was asked for.

    A missing file or a missing permission is no such fault.
    """
    if isinstance(error, (ConnectionError, TimeoutError, socket.gaierror)):
        return True
    if isinstance(error, OSError) and error.errno in _STORAGE_IS_AWAY:
        return True
    told = _OS_ERROR.search(str(error))
    return told is not None and int(told[1]) in _STORAGE_IS_AWAY


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

    def create(self, path: str, data: Data) -> bool:
        """Writes a file as a whole unless it is there; returns whether it did."""

    def walk(self, folder: str, recursive: bool, refused: Refused | None = None) -> Iterator[Entry]:
        """Lists the files below a folder, in no order.

        `refused` is called with the path of each folder below that may not be read; without it the first one is an
        error.
        """

    def tree(self, folder: str) -> Tree:
        """Lists the files, folders and symbolic links below a folder. No link is followed."""

    def remove_folder(self, path: str) -> bool:
        """Removes a folder that is empty; returns whether it did. One with anything in it stays."""

    def names(self, folder: str) -> list[str]:
        """Returns the names of what lies in a folder: files, folders and links."""

    def delete(self, path: str) -> bool:
        """Deletes a file, a link or a folder with all that is in it; returns whether there was one."""

    def arrow(self) -> pafs.FileSystem:
        """Returns the file system as pyarrow wants it."""


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
_TEMPORARY = re.compile(r"\.cxr-[0-9a-f]{16}\.tmp")


def is_temporary(path: str) -> bool:
    """Whether a file has a name that only `temporary_name` gives."""
    return _TEMPORARY.fullmatch(posixpath.basename(path)) is not None
