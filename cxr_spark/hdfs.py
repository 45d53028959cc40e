"""HDFS for the Store, by hdfs-native: a client without a JVM. Imported only where a path is on HDFS."""

from __future__ import annotations

import functools
import os
import posixpath
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.fs as pafs
from hdfs_native import fsspec as native

from cxr_spark.file_systems import COPY_BYTES, Data, Entry, temporary_name

#: How long a NameNode may take to accept a connection.
_CONNECT_SECONDS = 20.0


def _path_in(url: str) -> str:
    # hdfs-native takes a path for a web address, and loses all of a file's name from `#`, `?` or `;` on.
    scheme, mark, rest = url.partition("://")
    path = rest[rest.find("/") :] if mark and scheme.isalnum() and "/" in rest else "" if mark else url
    return path if len(path) < 2 else path.rstrip("/")


class _Hdfs(native.HdfsFileSystem):  # type: ignore[misc]
    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return _path_in(path) or "/"


class _Viewfs(native.ViewfsFileSystem):  # type: ignore[misc]
    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return _path_in(path) or "/"


def _act_for_who_submitted() -> None:
    """Without Kerberos, lets files belong to who submitted the job, as Spark's own do, not to the node's user.

    On YARN a task's Python runs as the NodeManager's user. With Kerberos, HDFS goes by ticket or token, whatever is
    said here.
    """
    user = os.environ.get("SPARK_USER")
    if user:
        os.environ.setdefault("HADOOP_USER_NAME", user)


@functools.cache
def _check_reachable(host: str, port: int) -> None:
    """Makes sure, once a process, that a NameNode listens: hdfs-native tries for minutes before it says that none does.

    Raises:
        OSError: none does.
    """
    with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
        pass


class HdfsFileSystem:
    """One HDFS.

    Args:
        scheme: `hdfs` or `viewfs`.
        authority: `host:port` of the NameNode, or the name of a pair of them; empty for the one that Hadoop's own
            settings name.
    """

    def __init__(self, scheme: str, authority: str) -> None:
        _act_for_who_submitted()
        host, _, port = authority.rpartition(":") if ":" in authority else (authority, "", "")
        if port:
            _check_reachable(host.strip("[]"), int(port))
        kind: Any = {"hdfs": _Hdfs, "viewfs": _Viewfs}[scheme]
        self._fs: Any = kind(host or None, int(port) if port else None)
        self._client: Any = self._fs.client

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        try:
            self._client.get_file_info(path)
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str) -> int:
        """Returns the size of a file in bytes."""
        return int(self._client.get_file_info(path).length)

    def open(self, path: str) -> BinaryIO:
        """Opens a file for reading."""
        return self._client.read(path)  # type: ignore[no-any-return]

    def write(self, path: str, data: Data) -> None:
        """Writes a file as a whole."""
        self._make_parent(path)
        with temporary_name(path, self._client.delete) as temporary:
            with self._client.create(temporary) as stream:
                stream.write(bytes(data))  # of other buffers hdfs-native takes numbers one by one, or fails
            self._client.rename(temporary, path, True)

    def upload(self, local: Path, path: str) -> None:
        """Copies a local file, as a whole."""
        self._make_parent(path)
        with temporary_name(path, self._client.delete) as temporary:
            with local.open("rb") as source, self._client.create(temporary) as stream:
                shutil.copyfileobj(source, stream, COPY_BYTES)
            self._client.rename(temporary, path, True)

    def create(self, path: str, data: Data) -> bool:
        """Writes a file as a whole unless it is there; returns whether it did."""
        self._make_parent(path)
        with temporary_name(path, self._client.delete) as temporary:
            with self._client.create(temporary) as stream:
                stream.write(bytes(data))  # of other buffers hdfs-native takes numbers one by one, or fails
            try:
                self._client.rename(temporary, path, False)
            except FileExistsError:
                return False
        return True

    def _make_parent(self, path: str) -> None:
        # The mode before the cluster's umask, as Hadoop's own clients ask for.
        self._client.mkdirs(posixpath.dirname(path), 0o777, True)

    def walk(self, folder: str, recursive: bool) -> Iterator[Entry]:
        """Lists the files below a folder."""
        if not self._client.get_file_info(folder).isdir:  # HDFS lists a file as if it were in itself
            raise FileNotFoundError(f"no such folder: {folder}")
        for status in self._client.list_status(folder, recursive):
            if not status.isdir:
                yield Entry(status.path, status.length, status.modification_time / 1000)

    def names(self, folder: str) -> list[str]:
        """Returns the names of what lies in a folder."""
        return [posixpath.basename(status.path) for status in self._client.list_status(folder, False)]

    def delete(self, path: str) -> bool:
        """Deletes a file or a folder with all that is in it; returns whether there was one."""
        try:
            return bool(self._client.delete(path, True))
        except FileNotFoundError:
            return False

    def arrow(self) -> pafs.FileSystem:
        """Returns it wrapped for pyarrow."""
        return pafs.PyFileSystem(pafs.FSSpecHandler(self._fs))
