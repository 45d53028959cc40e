"""Object stores for the Store, S3 above all, and whatever else fsspec has a file system for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.fs as pafs

from cxr_spark.storage.file_system import Data, Entry, Refused


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

    def walk(self, folder: str, recursive: bool, refused: Refused | None = None) -> Iterator[Entry]:
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
