"""One way to files, wherever they are: local disk, HDFS, S3 and whatever else fsspec has a file system for.

A `Store` is a folder behind a URI. It holds nothing but that URI, so it travels to executors and training ranks, which
need no Spark to use it. Renaming a folder is never how anything here is committed: that is not atomic on object
stores. Files are written under names that do not change, and a manifest that names them is written last.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import posixpath
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pyarrow.fs as pafs

from cxr_spark.errors import RunError, UsageError

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):(//)?")
#: The schemes that one HDFS client serves.
_HDFS = ("hdfs", "viewfs")


class FileInfo(NamedTuple):
    """One file of a store.

    Attributes:
        name: path below the store, with `/` between its parts.
        uri: full URI.
        size: bytes.
        modified: seconds since the epoch.
    """

    name: str
    uri: str
    size: int
    modified: float


def scheme_of(uri: str) -> str:
    """Returns the scheme of a URI, in lower case; `file` for a bare path."""
    found = _SCHEME.match(uri)
    return found.group(1).lower() if found else "file"


def resolve(path: str, default_fs: str = "file:///") -> str:
    """Turns what a user wrote into a full URI, as Hadoop does.

    A bare path belongs to the default file system; relative ones start at the working directory locally, and at
    `/user/NAME` elsewhere. Like Hadoop's paths (and unlike web addresses) nothing is percent-decoded.

    Args:
        path: a URI or a bare path.
        default_fs: Hadoop's `fs.defaultFS`.

    Returns:
        `scheme://authority/path` without a slash at the end.

    Raises:
        UsageError: the path is empty or holds a NUL or line break.
    """
    if not path.strip() or any(c in path for c in "\0\n\r"):
        raise UsageError(f"path {path!r} is empty or has a control character: expected a URI or a file path")
    found = _SCHEME.match(path)
    if found:
        scheme, rest = found.group(1).lower(), path[found.end() :]
        if found.group(2) is None:  # file:/x, as Spark writes it
            authority, tail = "", rest
        else:
            authority, slash, tail = rest.partition("/")
            tail = slash + tail
        if not authority and scheme == scheme_of(default_fs):
            authority = _SCHEME.sub("", default_fs).partition("/")[0]
        if scheme == "file" and authority not in ("", "localhost"):
            raise UsageError(f"path {path!r} names a host: a local path is written file:///folder/file")
        return f"{scheme}://{'' if scheme == 'file' else authority}{_normal(tail)}"
    if scheme_of(default_fs) == "file":
        return f"file://{_normal(os.path.abspath(os.path.expanduser(path)))}"  # noqa: PTH100, PTH111 (Path drops `//`)
    base = default_fs.rstrip("/")
    absolute = path if path.startswith("/") else f"/user/{getpass.getuser()}/{path}"
    return f"{base}{_normal(absolute)}"


def _normal(path: str) -> str:
    normal = posixpath.normpath("/" + path.lstrip("/"))
    return "/" if normal == "/" else normal.rstrip("/")


@contextlib.contextmanager
def _faults(doing: str, uri: str) -> Iterator[None]:
    """Turns whatever a file system raises into one kind of error; a missing file stays FileNotFoundError."""
    try:
        yield
    except (FileNotFoundError, FileExistsError, RunError):
        raise
    except Exception as error:
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RunError(f"cannot {doing} {uri}: {detail}") from error


class Store:
    """A folder behind a URI.

    Args:
        uri: full URI of the folder, as `resolve` gives it; a bare path is taken as local.

    Raises:
        UsageError: no file system is known for the scheme.
    """

    def __init__(self, uri: str) -> None:
        self.uri = resolve(uri)
        scheme = scheme_of(self.uri)
        self._local = scheme == "file"
        self._fs, self._root = _open_file_system(self.uri, scheme)

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return (Store, (self.uri,))

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder of this machine's own file tree."""
        return self._local

    def local_path(self, name: str = "") -> Path:
        """Returns the path of a file of a local store."""
        if not self._local:
            raise ValueError(f"{self.uri} is not local")
        return Path(self._path(name))

    def child(self, name: str) -> Store:
        """Returns the store of a folder below this one."""
        return Store(self.uri_of(name))

    def uri_of(self, name: str) -> str:
        """Returns the full URI of a file below this store."""
        return f"{self.uri.rstrip('/')}/{name}" if name else self.uri

    def _path(self, name: str) -> str:
        if name and (name.startswith("/") or ".." in name.split("/")):
            raise ValueError(f"{name!r} leaves its store")
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder is there."""
        with _faults("look for", self.uri_of(name)):
            return bool(self._fs.exists(self._path(name)))

    def size(self, name: str) -> int:
        """Returns the size of a file in bytes.

        Raises:
            FileNotFoundError: it is not there.
        """
        with _faults("look at", self.uri_of(name)):
            return int(self._fs.info(self._path(name))["size"])

    def read_bytes(self, name: str) -> bytes:
        """Reads a whole file.

        Raises:
            FileNotFoundError: it is not there.
            RunError: it cannot be read.
        """
        with _faults("read", self.uri_of(name)), self._fs.open(self._path(name), "rb") as stream:
            return bytes(stream.read())

    def write_bytes(self, name: str, data: bytes | memoryview) -> None:
        """Writes a file so that readers see the old one or the new one, never a part; parent folders are made."""
        path = self._path(name)
        with _faults("write", self.uri_of(name)):
            if not self._local and not isinstance(self._fs, _hdfs_classes()):
                self._fs.pipe_file(path, bytes(data))  # an object store shows an object only once it is whole
                return
            self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
            with self._temporary(path) as temporary:
                with self._fs.open(temporary, "wb") as stream:
                    stream.write(data)
                self._replace(temporary, path)

    @contextlib.contextmanager
    def _temporary(self, path: str) -> Iterator[str]:
        temporary = f"{posixpath.dirname(path)}/.{posixpath.basename(path)}.{secrets.token_hex(6)}.tmp"
        try:
            yield temporary
        finally:
            with contextlib.suppress(
                Exception
            ):  # it is gone where all went well; else the first error is the one to show
                if self._fs.exists(temporary):
                    self._fs.rm_file(temporary)

    def _replace(self, source: str, target: str) -> None:
        if self._local:
            os.replace(source, target)  # noqa: PTH105
        else:
            self._fs.mv(source, target, overwrite=True)

    def create_exclusive(self, name: str, data: bytes) -> bool:
        """Creates a file with its content in one step, unless it is there.

        Returns:
            False if the file was there already.
        """
        path = self._path(name)
        with _faults("create", self.uri_of(name)):
            if not self._local and not isinstance(self._fs, _hdfs_classes()):
                try:
                    self._fs.pipe_file(path, data, mode="create")
                except FileExistsError:
                    return False
                return True
            self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
            with self._temporary(path) as temporary:
                with self._fs.open(temporary, "wb") as stream:
                    stream.write(data)
                try:
                    if self._local:
                        os.link(temporary, path)
                    else:
                        self._fs.mv(temporary, path, overwrite=False)
                except FileExistsError:
                    return False
            return True

    def read_json(self, name: str) -> Any:
        """Reads a JSON file.

        Raises:
            FileNotFoundError: it is not there.
            RunError: it cannot be read, or is not JSON.
        """
        data = self.read_bytes(name)
        try:
            return json.loads(data)
        except ValueError as error:
            raise RunError(f"{self.uri_of(name)} is not JSON ({error}): it was damaged or is another file") from None

    def write_json(self, name: str, value: Any) -> None:
        """Writes a value as indented JSON, atomically. NaN is refused: it is not JSON."""
        self.write_bytes(name, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())

    def files(self, name: str = "", recursive: bool = True) -> Iterator[FileInfo]:
        """Lists files in order of their names, those with hidden names (`_x`, `.x`) too.

        Args:
            name: folder below the store.
            recursive: whether folders below are listed too.

        Raises:
            FileNotFoundError: the folder is not there.
        """
        root = self._path(name)
        with _faults("list", self.uri_of(name)):
            found = list(_walk_local(root, recursive) if self._local else _walk_remote(self._fs, root, recursive))
        base = self._root.rstrip("/") + "/"
        for path, size, modified in sorted(found):
            relative = path[len(base) :]
            yield FileInfo(relative, self.uri_of(relative), size, modified)

    def delete(self, name: str = "", missing_ok: bool = True) -> None:
        """Deletes a file or a folder with all that is in it."""
        path = self._path(name)
        with _faults("delete", self.uri_of(name)):
            if not self._fs.exists(path):
                if missing_ok:
                    return
                raise FileNotFoundError(self.uri_of(name))
            if self._local and Path(path).is_symlink():
                Path(path).unlink()
            else:
                self._fs.rm(path, recursive=self._fs.isdir(path))

    def upload(self, local: Path, name: str) -> None:
        """Copies a local file into the store, atomically."""
        path = self._path(name)
        with _faults("write", self.uri_of(name)):
            self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
            with self._temporary(path) as temporary:
                with local.open("rb") as source, self._fs.open(temporary, "wb") as target:
                    shutil.copyfileobj(source, target, 8 << 20)
                if self._local or isinstance(self._fs, _hdfs_classes()):
                    self._replace(temporary, path)
                else:
                    self._fs.mv(temporary, path)

    def download(self, name: str, local: Path) -> None:
        """Copies a file of the store to a local path."""
        with (
            _faults("read", self.uri_of(name)),
            self._fs.open(self._path(name), "rb") as source,
            local.open("wb") as target,
        ):
            shutil.copyfileobj(source, target, 8 << 20)

    def arrow(self) -> tuple[pafs.FileSystem, str]:
        """Returns the store as pyarrow wants it: a file system and the path of the folder in it."""
        if self._local:
            return pafs.LocalFileSystem(), self._root
        return pafs.PyFileSystem(pafs.FSSpecHandler(self._fs)), self._root


def _hdfs_classes() -> tuple[Any, ...]:
    try:
        from hdfs_native.fsspec import HdfsFileSystem, ViewfsFileSystem
    except ImportError:
        return ()
    return (HdfsFileSystem, ViewfsFileSystem)


def _open_file_system(uri: str, scheme: str) -> tuple[Any, str]:
    """Returns an fsspec file system and the path in it that a URI stands for."""
    rest = uri.partition("://")[2]
    authority, slash, tail = rest.partition("/")
    if scheme == "file":
        return fsspec.filesystem("file"), "/" + tail
    if scheme in _HDFS:
        classes = _hdfs_classes()
        if not classes:
            raise UsageError(f"{uri} is on HDFS: install the Python package hdfs-native on every node")
        host, _, port = authority.partition(":")
        with _faults("reach", uri):
            return classes[_HDFS.index(scheme)](host or None, int(port) if port else None), slash + tail or "/"
    try:
        return fsspec.core.url_to_fs(uri)  # type: ignore[no-any-return]
    except (ValueError, ImportError) as error:
        raise UsageError(f"no file system for {uri!r}: {error}") from None


def _walk_local(root: str, recursive: bool) -> Iterator[tuple[str, int, float]]:
    if not Path(root).is_dir():
        raise FileNotFoundError(root)
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        if not recursive:
            folders.clear()
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with contextlib.suppress(FileNotFoundError):  # a dangling link, or gone since
                status = os.stat(path)  # noqa: PTH116 (a Path per file costs more than the call)
                yield path, status.st_size, status.st_mtime


def _walk_remote(fs: Any, root: str, recursive: bool) -> Iterator[tuple[str, int, float]]:
    if isinstance(fs, _hdfs_classes()):
        for status in fs.client.list_status(root, recursive):
            if not status.isdir:
                yield status.path, status.length, status.modification_time / 1000
        return
    if not fs.isdir(root):
        raise FileNotFoundError(root)
    for path, info in fs.find(root, maxdepth=None if recursive else 1, detail=True).items():
        yield path, info["size"], _modified(info)


def _modified(info: dict[str, Any]) -> float:
    """Returns the time of change from what the different file systems call it."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(key)
        if value is not None:
            return float(value.timestamp() if hasattr(value, "timestamp") else value)
    return 0.0


def parent_and_name(uri: str) -> tuple[Store, str]:
    """Splits the URI of a file into the store of its folder and its name there."""
    parent, _, name = resolve(uri).rpartition("/")
    return Store(parent + "/" if parent.endswith(":/") or parent.endswith("://") else parent), name


def read_uri(uri: str) -> bytes:
    """Reads the file at a URI.

    Raises:
        FileNotFoundError: it is not there.
        RunError: it cannot be read.
    """
    store, name = parent_and_name(uri)
    return store.read_bytes(name)
