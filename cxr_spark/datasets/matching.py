"""Finds the label row of an image whose name is written differently: in its path, its case or its suffix."""

from __future__ import annotations

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: The ways of finding a name that is not there literally: by the end of its path, without regard to case, and without
#: its suffix.
PATH, CASE, SUFFIX = "path", "case", "suffix"
WAYS = (PATH, CASE, SUFFIX)
#: Each way in words.
WAY_WORDS = {
    PATH: "by the last parts of their paths",
    CASE: "without regard to upper and lower case",
    SUFFIX: "without regard to the suffix (such as .png and .jpg)",
}
_MEDICAL = (".dcm", ".dicom", ".dic", ".nii", ".mha", ".npy", ".npz")
#: Suffixes of image files. Others stay: the dots of a DICOM UID are part of the name.
_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".tif", ".tiff", ".bmp", ".gif", ".webp", *_MEDICAL))
#: These stand in place of a position where there is none, and where there are several.
_NONE, SEVERAL = -1, -2


class NameMatcher:
    """Finds names among known names. A name that could mean two of them is not found.

    >>> rows, ways = NameMatcher(["a_1.png", "b/c.png"]).find(["a_1.png", "x/a_1.png", "A_1.PNG", "c.jpg", "d"])
    >>> rows.tolist(), ways
    ([0, 0, 0, 1, -1], [None, 'path', 'case', 'suffix', None])
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Remembers the known names.

        Args:
            names: each once.
        """
        self._names = list(names)
        self._index = pd.Index(self._names, dtype=object)
        self._tables: list[tuple[str, Callable[[str], str], dict[str, int], dict[str, int]]] | None = None

    def find(self, names: Sequence[str | None]) -> tuple[NDArray[np.int64], list[str | None]]:
        """Finds names.

        Args:
            names: what to find.

        Returns:
            The position of each among the known names, -1 where it is not found; and the way in which it was found, one
            of `WAYS`, None where it was found literally or not at all.
        """
        rows, ways = self.find_or_doubt(names)
        return np.maximum(rows, _NONE), ways

    def find_or_doubt(self, names: Sequence[str | None]) -> tuple[NDArray[np.int64], list[str | None]]:
        """Does the same as `find`, but returns `SEVERAL` for a name that could mean two or more of the known ones."""
        wanted: Any = list(names)
        rows = self._index.get_indexer(pd.Index(wanted, dtype=object)).astype(np.int64)
        ways: list[str | None] = [None] * len(rows)
        for place in np.flatnonzero(rows < 0).tolist():
            name = names[place]
            if name:
                rows[place], ways[place] = self._otherwise(name)
        return rows, ways

    def _otherwise(self, name: str) -> tuple[int, str | None]:
        if self._tables is None:  # mostly not needed
            self._tables = [(way, key, *_tables(self._names, key)) for way, key in _KEYS]
        for way, key, whole, tails in self._tables:
            wanted = key(name)
            for row in (tails.get(wanted), *(whole.get(tail) for tail in _tails(wanted))):
                if row == SEVERAL:
                    return SEVERAL, None
                if row is not None:
                    return row, way
        return _NONE, None


class Renaming(NamedTuple):
    """The names in the labels of image files whose own names are written differently.

    Attributes:
        names: the name in the labels for the name of each such file.
        counts: the number of names that were found in each of `WAYS`.
        example: the name of one such file, and its name in the labels; None where there is no such file.
        doubtful: files that could belong to several labels, or that share the only label that they could belong to.
            They get no label.
    """

    names: dict[str, str]
    counts: dict[str, int]
    example: tuple[str, str] | None
    doubtful: tuple[str, ...] = ()

    def warnings(self) -> list[str]:
        """Returns a warning for each way in which names were guessed, with number, example and remedy."""
        if self.example is None:
            return []
        name, label = self.example
        return [
            f"{line}, such as {name!r} with {label!r}: if these are not the same images, write the names alike in "
            "folder and label file"
            for line in told(self.counts.items())
        ]

    def doubts(self) -> list[str]:
        """Returns a warning of the files that were left out because of doubtful labels, with example and remedy."""
        if not self.doubtful:
            return []
        return [
            f"{len(self.doubtful)} images could be of several labels, or share the only label they could be of, such "
            f"as {self.doubtful[0]!r}, and are left out: write the names alike in folder and label file"
        ]


def renamed(names: Collection[str], labelled: Sequence[str]) -> Renaming:
    """Finds the label rows of files whose names the labels write differently.

    A row that has its own file, or that two files could belong to, is given to no other file.

    Args:
        names: the names of the files.
        labelled: names in the labels, each once.
    """
    known = set(labelled)
    left = [name for name in dict.fromkeys(names) if name not in known]
    if not left or not labelled:
        return Renaming({}, dict.fromkeys(WAYS, 0), None)
    taken = known.intersection(names)
    rows, ways = NameMatcher(labelled).find_or_doubt(left)
    wanted = Counter(rows.tolist())
    doubtful = tuple(
        name
        for name, row in zip(left, rows.tolist(), strict=True)
        if row == SEVERAL or (row >= 0 and wanted[row] > 1 and labelled[row] not in taken)
    )
    found = {
        name: (labelled[row], way)
        for name, row, way in zip(left, rows.tolist(), ways, strict=True)
        if way is not None and wanted[row] == 1 and labelled[row] not in taken
    }
    counts = Counter(way for _, way in found.values())
    first = next(((name, label) for name, (label, _) in found.items()), None)
    names_found = {name: label for name, (label, _) in found.items()}
    return Renaming(names_found, {way: counts[way] for way in WAYS}, first, doubtful)


def told(counts: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Yields a sentence for each way in which names were found, with their number."""
    for way, count in counts:
        if count:
            yield f"{count} images were matched with their labels {WAY_WORDS[way]}"


def _tables(names: Sequence[str], key: Callable[[str], str]) -> tuple[dict[str, int], dict[str, int]]:
    whole: dict[str, int] = {}
    tails: dict[str, int] = {}
    for row, name in enumerate(names):
        wanted = key(name)
        whole[wanted] = row if whole.get(wanted, row) == row else SEVERAL
        for tail in _tails(wanted):
            tails[tail] = row if tails.get(tail, row) == row else SEVERAL
    # A name that is known as a whole is meant even where it is the end of another one.
    return whole, {**tails, **whole}


def _tails(path: str) -> Iterator[str]:
    """Yields a path, and what is left of it when one folder after the other is taken from its front."""
    while True:
        yield path
        _, slash, path = path.partition("/")
        if not slash:
            return


def _path(name: str) -> str:
    return name.strip().replace("\\", "/").removeprefix("./").lstrip("/")


def _case(name: str) -> str:
    """Returns a path in lower case; letters with accents are in one encoding, for macOS has its own."""
    return unicodedata.normalize("NFC", _path(name)).casefold()


def _stem(name: str) -> str:
    stem, suffix = posixpath.splitext(_case(name))
    return stem if suffix in _SUFFIXES else _case(name)


_KEYS: tuple[tuple[str, Callable[[str], str]], ...] = ((PATH, _path), (CASE, _case), (SUFFIX, _stem))
