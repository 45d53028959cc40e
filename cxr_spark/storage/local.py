"""The local file tree for the Store: atomic and exclusive writes, listings that follow links and end."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow.fs as pafs

from cxr_spark.storage.file_system import Data, Entry, Refused, Tree, temporary_name


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
        """Writes a file as a whole: its content is on the disk before the file gets its name."""
        with self._made(path, data) as temporary:
            os.replace(temporary, path)  # noqa: PTH105

    def create(self, path: str, data: Data) -> bool:
        """Writes a file as a whole unless it is there; returns whether it did."""
        with self._made(path, data) as temporary:
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
    def _made(self, path: str, data: Data) -> Iterator[str]:
        os.makedirs(posixpath.dirname(path), exist_ok=True)  # noqa: PTH103
        with temporary_name(path, os.unlink) as temporary:
            with Path(temporary).open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            yield temporary

    def walk(self, folder: str, recursive: bool, refused: Refused | None = None) -> Iterator[Entry]:
        """Lists the regular files below a folder; links are followed, but not back to a folder above.

        A link that leads nowhere, or to itself, is listed as a file of 0 bytes, so that whoever reads it says so.
        """
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"no such folder: {folder}")
        yield from _walk(folder.rstrip("/"), recursive, (os.path.realpath(folder),), refused)

    def tree(self, folder: str) -> Tree:
        """Lists the files, folders and symbolic links below a folder. No link is followed, but the folder may be one.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"no such folder: {folder}")
        found, waiting = Tree([], [], []), [folder.rstrip("/")]
        while waiting:
            above = waiting.pop()
            with os.scandir(above or "/") as entries:
                for entry in entries:
                    path = f"{above}/{entry.name}"
                    if entry.is_symlink():
                        found.links.append(path)
                    elif entry.is_dir(follow_symlinks=False):
                        found.folders.append(path)
                        waiting.append(path)
                    else:
                        found.files.append(path)
        return found

    def remove_folder(self, path: str) -> bool:
        """Removes a folder that is empty; returns whether it did."""
        try:
            os.rmdir(path)  # noqa: PTH106
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        return True

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


def _walk(folder: str, recursive: bool, above: tuple[str, ...], refused: Refused | None) -> Iterator[Entry]:
    try:
        with os.scandir(folder or "/") as found:
            entries = list(found)
        if entries:
            entries[0].stat(follow_symlinks=False)  # names may be listed where files may not be looked at
    except PermissionError as error:
        if refused is None or len(above) == 1:
            raise PermissionError(error.errno, f"{error.strerror} for the folder {folder}") from error
        refused(folder)
        return
    except FileNotFoundError:
        if len(above) == 1:
            raise
        return  # gone since its parent was listed
    for entry in entries:
        path = f"{folder}/{entry.name}"
        try:
            if entry.is_dir():
                real = os.path.realpath(path) if entry.is_symlink() else f"{above[-1].rstrip('/')}/{entry.name}"
                if recursive and real not in above:
                    yield from _walk(path, recursive, (*above, real), refused)
                continue
            status = entry.stat()
        except OSError as error:
            if not isinstance(error, FileNotFoundError) and error.errno != errno.ELOOP:
                raise
            if not entry.is_symlink():  # gone since
                continue
            status = entry.stat(follow_symlinks=False)
            yield Entry(path, 0, status.st_mtime)
            continue
        if stat.S_ISREG(status.st_mode):  # reading a pipe or a device could wait for ever
            yield Entry(path, status.st_size, status.st_mtime)
