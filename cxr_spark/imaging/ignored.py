"""Counts and names what a search for images ignores, so that the user learns of it."""

from __future__ import annotations

import logging
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

#: Suffixes of files that lie among images and are none: tables, texts, archives, arrays.
OTHER_SUFFIXES = frozenset({
    ".csv", ".tsv", ".txt", ".json", ".xml", ".html", ".htm", ".md", ".rst", ".pdf", ".doc", ".docx", ".xls", ".xlsx",
    ".yaml", ".yml", ".log", ".parquet", ".gz", ".bz2", ".xz", ".zip", ".tar", ".tgz", ".7z", ".py", ".ipynb", ".sh",
    ".npy", ".npz", ".h5", ".hdf5", ".mat", ".pt", ".pth", ".safetensors", ".sha256", ".md5", ".crc", ".ini",
})  # fmt: skip
#: How many names a message shows; the rest is counted.
_SHOWN = 5
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9_-]{0,15}")
_UNPRINTABLE = re.compile("[\0-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Ignored:
    """Files that are no images, and folders that may not be read.

    Attributes:
        suffixes: number of ignored files by suffix in lower case, the most frequent first; "none" where there is none.
        without_images: folders that hold ignored files and, with all below them, no image; the highest ones only.
        refused: paths of the folders that may not be read.
    """

    suffixes: Mapping[str, int]
    without_images: tuple[str, ...]
    refused: tuple[str, ...]

    @classmethod
    def of(cls, others: Iterable[str], images: Iterable[str], refused: Sequence[str]) -> Ignored:
        """Counts.

        Args:
            others: URIs of the ignored files.
            images: URIs of the image files.
            refused: paths of the folders that may not be read.
        """
        others = list(others)
        counted = Counter(suffix_of(uri) or "none" for uri in others)
        full = set(_folders(images))
        bare = {folder for folder in _folders(others) if folder not in full}
        highest = sorted(folder for folder in bare if posixpath.dirname(folder) not in bare)
        # With no image at all, every folder up to the root is bare, and there is nothing to compare with.
        return cls(dict(counted.most_common()), tuple(highest) if full else (), tuple(refused))

    def recorded(self) -> dict[str, Any]:
        """Returns what the manifest of a prepared dataset tells of it: JSON values."""
        return {
            "ignored_by_suffix": dict(self.suffixes),
            "folders_without_images": [_UNPRINTABLE.sub("?", name) for name in self.without_images],
            "folders_not_readable": [_UNPRINTABLE.sub("?", name) for name in self.refused],
        }

    def warnings(self) -> list[str]:
        """Says what was ignored and should perhaps not be: numbers, names, and what to do."""
        lines = [self._counted()] if not OTHER_SUFFIXES.issuperset(self.suffixes) else []
        if self.without_images:
            lines.append(
                f"{len(self.without_images)} folders are left without any image, their files were ignored: "
                f"{_some(self.without_images)}; convert the files to PNG, JPEG or DICOM if these are images"
            )
        if self.refused:
            lines.append(
                f"{len(self.refused)} folders may not be read, what is in them is missing: {_some(self.refused)}; "
                "give the user who runs this the right to read them, or give the other folders one by one"
            )
        return lines

    def warn(self) -> None:
        """Logs the warnings; tables and texts among the images are only mentioned."""
        if self.suffixes and OTHER_SUFFIXES.issuperset(self.suffixes):
            log.info("%s", self._counted())
        for line in self.warnings():
            log.warning("%s", line)

    def _counted(self) -> str:
        counted = _some([f"{suffix} {count}" for suffix, count in self.suffixes.items()])
        number = sum(self.suffixes.values())
        return (
            f"ignored {number} files that are no PNG, JPEG or DICOM by name or content: {counted}; convert those that "
            "are wanted"
        )


def suffix_of(uri: str) -> str:
    """Returns the suffix of a file's name in lower case, such as `.csv`; empty for none, and for numbers there."""
    name = uri.rpartition("/")[2]
    stem, suffix = posixpath.splitext(name)
    return suffix.lower() if stem and _SUFFIX.fullmatch(suffix) else ""


def _folders(uris: Iterable[str]) -> set[str]:
    """Returns the folders of files, and all above them."""
    folders: set[str] = set()
    for uri in uris:
        folder = posixpath.dirname(uri)
        while folder not in folders and "/" in folder.partition("://")[2]:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    return folders


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(_UNPRINTABLE.sub("?", name) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
