"""HDFS for the Store, by hdfs-native: a client without a JVM. Imported only where a path is on HDFS."""

from __future__ import annotations

import errno
import functools
import logging
import os
import posixpath
import socket
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow.fs as pafs
from hdfs_native import WriteOptions
from hdfs_native import fsspec as native

from cxr_spark.storage.file_system import Data, Entry, Refused, Tree, temporary_name
from cxr_spark.storage.name_node import NameNode, NoAnswerError, is_denied, is_starting, put_piece

log = logging.getLogger(__name__)

#: How long a NameNode may take to accept a connection. Spark tries a task four times, each as long.
_CONNECT_SECONDS = 15.0
#: Seconds before each further attempt to write a file whose DataNodes could not be reached.
_PAUSES = (0.2, 1.0, 3.0, 9.0, 20.0)


def _path_in(url: str) -> str:
    # hdfs-native takes a path for a web address, and loses all of a file's name from `#`, `?` or `;` on.
    scheme, mark, rest = url.partition("://")
    path = rest[rest.find("/") :] if mark and scheme.isalnum() and "/" in rest else "" if mark else url
    return path if len(path) < 2 else path.rstrip("/")


class _Ending:
    """Makes every call of an fsspec class of hdfs-native end. (fsspec makes one object, which all callers share.)"""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.client: Any = NameNode(self.client)


class _Hdfs(_Ending, native.HdfsFileSystem):  # type: ignore[misc]
    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return _path_in(path) or "/"


class _Viewfs(_Ending, native.ViewfsFileSystem):  # type: ignore[misc]
    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return _path_in(path) or "/"


def _act_for_who_submitted() -> None:
    """Makes new files belong to the user who submitted the job, as Spark's own files do, where there is no Kerberos.

    On YARN a task's Python runs as the NodeManager's user. With Kerberos, HDFS goes by ticket or token, whatever is
    said here.
    """
    user = os.environ.get("SPARK_USER")
    if user:
        os.environ.setdefault("HADOOP_USER_NAME", user)


def _is_of_data_node(error: Exception) -> bool:
    """Whether another attempt, to other DataNodes, may do better. What the NameNode refuses it will refuse again."""
    if is_starting(error):
        return True
    return not isinstance(error, (FileNotFoundError, PermissionError, NoAnswerError)) and "RPCError" not in str(error)


def _nothing() -> None:
    pass


@functools.cache
def _check_reachable(host: str, port: int) -> None:
    """Makes sure, once a process, that a NameNode listens: hdfs-native tries for minutes before it says that none does.

    Raises:
        OSError: none does.
    """
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
            return
        except ConnectionRefusedError:  # it may be starting
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


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
        with temporary_name(path, self._client.delete) as temporary:
            self._write_new(temporary, data)
            self._client.rename(temporary, path, True)

    def create(self, path: str, data: Data) -> bool:
        """Writes a file as a whole unless it is there; returns whether it did."""
        with temporary_name(path, self._client.delete) as temporary:
            self._write_new(temporary, data)
            try:
                self._client.rename(temporary, path, False)
            except FileExistsError:
                return False
        return True

    def _write_new(self, path: str, data: Data) -> None:
        """Writes a file, and makes the folder that it is in.

        hdfs-native fails if it cannot reach a DataNode that the NameNode named, and a NameNode names one that is gone
        for ten minutes. So further attempts ask for a single copy, for which one DataNode is enough that lives; the
        NameNode then sees to the others. (Hadoop's own clients say which DataNode to leave out.)
        """
        # The mode before the cluster's umask, as Hadoop's own clients ask for.
        self._client.mkdirs(posixpath.dirname(path), 0o777, True)
        options, copies = WriteOptions(overwrite=True), 0
        for pause in (*_PAUSES, None):
            stream = self._client.create(path, options)
            try:
                # Of other buffers than bytes, hdfs-native takes numbers one by one, or fails.
                put_piece(functools.partial(stream.write, bytes(data)))
                put_piece(stream.close)  # not after a write that failed: it waits for blocks that no DataNode has
                break
            except (OSError, RuntimeError) as error:
                if pause is None or not _is_of_data_node(error):
                    raise
                log.warning("a DataNode cannot be reached, writing %s again: %s", path, error)
            finally:
                stream.close = _nothing  # Python closes it once more when it is forgotten: that may wait for ever
            copies = copies or int(self._client.get_file_info(path).replication)
            options = WriteOptions(overwrite=True, replication=1)
            time.sleep(pause)
        if copies > 1:
            self._client.set_replication(path, copies)

    def walk(self, folder: str, recursive: bool, refused: Refused | None = None) -> Iterator[Entry]:
        """Lists the files below a folder."""
        if not self._client.get_file_info(folder).isdir:  # HDFS lists a file as if it were in itself
            raise FileNotFoundError(f"no such folder: {folder}")
        # hdfs-native's own listing asks for one folder after the other, too, but ends at the first it may not read.
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            try:
                for status in self._client.list_status(current, False):
                    if not status.isdir:
                        yield Entry(status.path, status.length, status.modification_time / 1000)
                    elif recursive:
                        waiting.append(status.path)
            except (OSError, RuntimeError) as error:
                if current == folder:
                    raise
                if is_denied(error):
                    if refused is None:
                        raise PermissionError(errno.EACCES, f"Permission denied for the folder {current}") from error
                    refused(current)
                elif not isinstance(error, FileNotFoundError):  # else it is gone since its parent was listed
                    raise

    def tree(self, folder: str) -> Tree:
        """Lists the files and folders below a folder. hdfs-native knows no symbolic links."""
        if not self._client.get_file_info(folder).isdir:
            raise FileNotFoundError(f"no such folder: {folder}")
        found = Tree([], [], [])
        for status in self._client.list_status(folder, True):
            (found.folders if status.isdir else found.files).append(status.path)
        return found

    def remove_folder(self, path: str) -> bool:
        """Removes a folder that is empty; returns whether it did."""
        try:
            if list(self._client.list_status(path, False)):
                return False
            return bool(self._client.delete(path, False))  # HDFS itself refuses it where a file has come meanwhile
        except FileNotFoundError:
            return False

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
