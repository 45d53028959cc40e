"""Object stores for the Store, S3 above all, and whatever else fsspec has a file system for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow.fs as pafs
from fsspec.asyn import AsyncFileSystem
from fsspec.spec import AbstractFileSystem

from cxr_spark.errors import UsageError
from cxr_spark.storage.file_system import Data, Entry, Refused, Tree


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

    def create(self, path: str, data: Data) -> bool:
        """Writes an object in one conditional request, unless it is there; returns whether it did.

        Raises:
            UsageError: the library of this store has no such request. Two runs could both believe that they did.
        """
        if not _creates_exclusively(type(self._remote)):
            kind = type(self._remote)
            raise UsageError(
                f"{path}: {kind.__module__.partition('.')[0]} (class {kind.__name__}) cannot write a file only where "
                "there is none, so two runs could write in one folder: install fsspec and the library of this store "
                "(s3fs, gcsfs ...) in version 2024.12 or later"
            )
        try:
            self._remote.pipe_file(path, bytes(data), mode="create")
        except FileExistsError:
            return False
        return True

    def walk(self, folder: str, recursive: bool, refused: Refused | None = None) -> Iterator[Entry]:
        """Lists the objects below a prefix."""
        if not self._remote.isdir(folder):
            raise FileNotFoundError(f"no such folder: {folder}")
        if recursive and _lists_flat(type(self._remote)):
            try:
                found = self._remote.find(folder, detail=True)
            except PermissionError:
                if refused is None:
                    raise
            else:
                for path, info in found.items():
                    yield Entry(path, info["size"], _modified(info))
                return
        yield from self._walk_by_folder(folder, recursive, refused)

    def _walk_by_folder(self, folder: str, recursive: bool, refused: Refused | None) -> Iterator[Entry]:
        """Lists one folder after the other: fsspec's own `walk` leaves out those that fail, without a word."""
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            try:
                infos = self._remote.ls(current, detail=True)
            except (PermissionError, FileNotFoundError) as error:
                if current == folder or (isinstance(error, PermissionError) and refused is None):
                    raise
                if isinstance(error, PermissionError) and refused is not None:
                    refused(current)
                continue  # not there: gone since its parent was listed
            for info in infos:
                path = info["name"]
                if path.rstrip("/") == current.rstrip("/"):  # some stores list a folder as if it were in itself
                    continue
                if info["type"] != "directory":
                    yield Entry(path, info["size"], _modified(info))
                elif recursive:
                    waiting.append(path)

    def tree(self, folder: str) -> Tree:
        """Lists the objects below a prefix, and what passes for folders there. There are no links."""
        if not self._remote.isdir(folder):
            raise FileNotFoundError(f"no such folder: {folder}")
        found = Tree([], [], [])
        for path, info in self._remote.find(folder, withdirs=True, detail=True).items():
            (found.folders if info["type"] == "directory" else found.files).append(path)
        return found._replace(folders=[path for path in found.folders if path.rstrip("/") != folder.rstrip("/")])

    def remove_folder(self, path: str) -> bool:
        """Removes what passes for a folder, if it is empty. On most object stores it is gone with its last object."""
        try:
            if self._remote.ls(path, detail=False):
                return False
            self._remote.rmdir(path)
        except (OSError, NotImplementedError):  # not there, or not a thing that can be removed
            return False
        return True

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


def _creates_exclusively(kind: type[Any]) -> bool:
    """Whether a class of fsspec's has an exclusive create of its own.

    Before 2024.12 none has: its `pipe_file` swallows the argument and replaces the file. That of fsspec's base class
    first looks whether the file is there and then writes it, so that two at the same time both write.
    """
    for name in ("_pipe_file", "pipe_file"):
        method = getattr(kind, name, None)
        if method is not None and method is not getattr(AbstractFileSystem, name, None):
            if getattr(AsyncFileSystem, name, None) is method:
                continue
            return "mode" in inspect.signature(method).parameters
    return False


def _lists_flat(kind: type[Any]) -> bool:
    """Whether a class of fsspec's lists all below a prefix at once, as stores without real folders can."""
    own = getattr(kind, "_find", None) or kind.find
    return own not in (AsyncFileSystem._find, AbstractFileSystem.find)


def _modified(info: dict[str, Any]) -> float:
    """Returns the time of change from what the different file systems call it."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(key)
        if value is not None:
            return float(value.timestamp() if hasattr(value, "timestamp") else value)
    return 0.0
