"""One way to files, wherever they are: local disk, HDFS, S3 and whatever else fsspec has a file system for.

A `Store` is a folder behind a URI. It holds nothing but that URI, so it travels to executors and training ranks, which
need no Spark to use it. Renaming a folder is never how anything here is committed: that is not atomic on object
stores. Files are written under names that do not change, and a manifest that names them is written last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow.fs as pafs

from cxr_spark.storage.file_info import FileInfo
from cxr_spark.storage.file_system import Tree, is_temporary
from cxr_spark.storage.json_values import NotJsonError
from cxr_spark.storage.opening import checked_stream, faults, open_file_system
from cxr_spark.storage.uris import join, resolve, scheme_of

__all__ = ["FileInfo", "NotJsonError", "Store", "parent_and_name", "read_uri", "resolve", "scheme_of"]


class Store:
    """A folder behind a URI.

    Args:
        uri: full URI of the folder, as `resolve` gives it; a bare path is taken as local.

    Raises:
        UsageError: no file system is known for the scheme.
        RunError: the file system cannot be reached.
    """

    def __init__(self, uri: str) -> None:
        self.uri = resolve(uri)
        with faults("reach", self.uri):
            self._fs, self._root = open_file_system(self.uri)

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return (Store, (self.uri,))

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder of this machine's own file tree."""
        return scheme_of(self.uri) == "file"

    def child(self, name: str) -> Store:
        """Returns the store of a folder below this one."""
        return Store(self.uri_of(name))

    def uri_of(self, name: str) -> str:
        """Returns the full URI of a file below this store."""
        return join(self.uri, name)

    def _path(self, name: str) -> str:
        return join(self._root, name)

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder is there."""
        with faults("look for", self.uri_of(name)):
            return self._fs.exists(self._path(name))

    def size(self, name: str) -> int:
        """Returns the size of a file in bytes.

        Raises:
            FileNotFoundError: it is not there.
        """
        with faults("look at", self.uri_of(name)):
            return self._fs.size(self._path(name))

    def read_bytes(self, name: str, limit: int | None = None) -> bytes:
        """Reads a whole file, or no more than its first `limit` bytes.

        Raises:
            FileNotFoundError: it is not there.
            RunError: it cannot be read.
        """
        with faults("read", self.uri_of(name)), self._fs.open(self._path(name)) as stream:
            return bytes(stream.read(-1 if limit is None else limit))

    def open(self, name: str) -> BinaryIO:
        """Opens a file for reading in parts. What fails in a later read raises the same errors as this method.

        Raises:
            FileNotFoundError: it is not there.
            StorageAwayError: the storage cannot be reached.
            RunError: it cannot be read.
        """
        uri = self.uri_of(name)
        with faults("read", uri):
            return checked_stream(self._fs.open(self._path(name)), uri)

    def write_bytes(self, name: str, data: bytes | memoryview) -> None:
        """Writes a file so that readers see the old one or the new one, never a part; parent folders are made."""
        with faults("write", self.uri_of(name)):
            self._fs.write(self._path(name), data)

    def create_exclusive(self, name: str, data: bytes) -> bool:
        """Creates a file with its content in one step, unless it is there.

        Returns:
            False if the file was there already.
        """
        with faults("create", self.uri_of(name)):
            return self._fs.create(self._path(name), data)

    def read_json(self, name: str) -> Any:
        """Reads a JSON file.

        Raises:
            FileNotFoundError: it is not there.
            NotJsonError: it is not JSON.
            RunError: it cannot be read.
        """
        data = self.read_bytes(name)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise NotJsonError(
                f"{self.uri_of(name)} is not JSON ({error}): it was damaged or is another file"
            ) from None

    def write_json(self, name: str, value: Any) -> None:
        """Writes a value as indented JSON, atomically. NaN is refused: it is not JSON."""
        self.write_bytes(name, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())

    def files(self, name: str = "", recursive: bool = True, refused: list[str] | None = None) -> Iterator[FileInfo]:
        """Lists files in order of their names, those with hidden names (`_x`, `.x`) too.

        Links on the local disk are followed; one that leads nowhere is listed with 0 bytes.

        Args:
            name: folder below the store.
            recursive: whether folders below are listed too.
            refused: takes the paths of folders below that may not be read; None makes the first one an error.

        Raises:
            FileNotFoundError: the folder is not there.
            RunError: it, or a folder below, cannot be read.
        """
        with faults("list", self.uri_of(name)):
            on_refused = None if refused is None else refused.append
            found = sorted(self._fs.walk(self._path(name), recursive, on_refused))
        skipped = len(self._root.rstrip("/") + "/")
        base = self.uri if self.uri.endswith("/") else self.uri + "/"
        for path, size, modified in found:
            relative = path[skipped:]
            yield FileInfo(relative, base + relative, size, modified)

    def names(self, name: str = "") -> list[str]:
        """Returns the sorted names of what lies in a folder: files, folders and links, hidden ones too.

        Raises:
            FileNotFoundError: the folder is not there.
        """
        with faults("list", self.uri_of(name)):
            return sorted(self._fs.names(self._path(name)))

    def delete(self, name: str = "") -> None:
        """Deletes a file, or a folder with all that is in it; of a link on the local disk only the link.

        It is no error if there is nothing of that name.
        """
        with faults("delete", self.uri_of(name)):
            self._fs.delete(self._path(name))

    def tree(self, name: str = "") -> Tree:
        """Lists all that lies below a folder, by names below the store: files, folders and symbolic links, sorted.

        No link is followed, so what is deleted by such a name lies in the folder itself.

        Raises:
            FileNotFoundError: the folder is not there.
            RunError: it, or a folder below, cannot be read.
        """
        with faults("list", self.uri_of(name)):
            found = self._fs.tree(self._path(name))
        skipped = len(self._root.rstrip("/") + "/")
        return Tree(*(sorted(path[skipped:].rstrip("/") for path in paths) for paths in found))

    def remove_empty_folders(self, name: str = "") -> None:
        """Removes the folders below a folder in which there is nothing at all; links count as something."""
        for folder in sorted(self.tree(name).folders, key=lambda path: path.count("/"), reverse=True):
            self.remove_folder(folder)

    def remove_folder(self, name: str) -> bool:
        """Removes a folder that is empty; returns whether it did. One with anything in it stays."""
        with faults("remove", self.uri_of(name)):
            return self._fs.remove_folder(self._path(name))

    def delete_temporaries(self) -> None:
        """Deletes what writers that were killed left half written, by the names that only they give.

        No one else may be writing.
        """
        for name in self.tree().files:
            if is_temporary(name):
                self.delete(name)

    def arrow(self) -> tuple[pafs.FileSystem, str]:
        """Returns the store as pyarrow wants it: a file system and the path of the folder in it."""
        return self._fs.arrow(), self._root


def parent_and_name(uri: str) -> tuple[Store, str]:
    """Splits the URI of a file into the store of its folder and its name there."""
    parent, _, name = resolve(uri).rpartition("/")
    return Store(parent + "/"), name


def read_uri(uri: str, limit: int | None = None) -> bytes:
    """Reads the file at a URI, or no more than its first `limit` bytes.

    Raises:
        FileNotFoundError: it is not there.
        StorageAwayError: the storage cannot be reached.
        RunError: it cannot be read.
    """
    store, name = parent_and_name(uri)
    return store.read_bytes(name, limit)
