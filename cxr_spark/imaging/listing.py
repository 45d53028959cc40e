"""Finding image files below folders and globs, on any file system. Only names and sizes are looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from cxr_spark.errors import DataError
from cxr_spark.imaging.rejected import HIDDEN_NAME, UNUSABLE_NAME
from cxr_spark.storage.store import FileInfo, Store

#: Names that end otherwise are not images and are only counted: label files, lists and notes lie among NIH's images.
IMAGE_SUFFIXES: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".dcm")

_GLOB = re.compile(r"[*?\[{]")
#: Line breaks, and the lone surrogates in which Python keeps bytes that are not UTF-8.
_UNUSABLE = re.compile("[\0\n\r\ud800-\udfff]")
_TOKENS = re.compile(r"\*\*/|\*\*|\[[^\]]+\]|.", re.DOTALL)
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class ImageFile(NamedTuple):
    """A file with the name of an image.

    Attributes:
        uri: full URI.
        root: URI of the folder that was searched: the one given, or the part of a glob before its first wildcard.
        size: bytes.
        modified: seconds since the epoch.
        problem: a reason of `rejected.REASONS` where the name alone rules the file out, else None.
    """

    uri: str
    root: str
    size: int
    modified: float
    problem: str | None


class ImageFiles(NamedTuple):
    """What was found.

    Attributes:
        files: image files in order of their URIs, each once.
        ignored: number of other files.
    """

    files: list[ImageFile]
    ignored: int


def find_images(patterns: Sequence[str]) -> ImageFiles:
    """Lists the image files of folders and globs, with all folders below them.

    A glob may have `*` and `?` (within a name), `**` (any folders), `[abc]` and `{png,jpg}`; where it matches a folder,
    all below that folder is found.

    Args:
        patterns: full URIs.

    Raises:
        DataError: a folder does not exist, or no file at all matches a glob.
    """
    images: dict[str, ImageFile] = {}
    ignored: set[str] = set()
    for pattern in patterns:
        root, infos = _list(pattern)
        for info in infos:
            if info.uri.lower().endswith(IMAGE_SUFFIXES):
                image = ImageFile(info.uri, root, info.size, info.modified, _problem(info.uri[len(root) :]))
                images.setdefault(info.uri, image)
            else:
                ignored.add(info.uri)
    return ImageFiles([images[uri] for uri in sorted(images)], len(ignored))


def _list(pattern: str) -> tuple[str, list[FileInfo]]:
    """Returns the folder that was searched, and the files below it that a pattern means."""
    try:
        return pattern, list(Store(pattern).files())
    except FileNotFoundError:
        root, rest = _split(pattern)
    wanted = _glob_regex(rest)
    try:
        infos = [info for info in Store(root).files() if wanted.fullmatch(info.name)]
    except FileNotFoundError:
        infos = []
    if not infos:
        raise DataError(f"no file matches {pattern}: give an existing folder, or a glob such as FOLDER/images_*/*.png")
    return root, infos


def _split(pattern: str) -> tuple[str, str]:
    """Splits a URI before the first part with a wildcard, or before its last part where there is none."""
    scheme, _, path = pattern.partition("://")
    parts = path.split("/")
    first = next((i for i, part in enumerate(parts) if _GLOB.search(part)), len(parts) - 1)
    return f"{scheme}://{'/'.join(parts[:first]) or '/'}", "/".join(parts[first:])


def _glob_regex(glob: str) -> re.Pattern[str]:
    """Translates a glob; it matches a path, and every path below one that it matches."""
    regex, open_braces = "", 0
    for token in _TOKENS.findall(glob):
        if token == "{":
            regex, open_braces = regex + "(?:", open_braces + 1
        elif token == "}" and open_braces:
            regex, open_braces = regex + ")", open_braces - 1
        elif token == "," and open_braces:
            regex += "|"
        elif token.startswith("[") and len(token) > 2:
            inside = token[1:-1].replace("\\", "\\\\").replace("[", "\\[")
            regex += f"[{'^' + inside[1:] if inside.startswith('!') else inside}]"
        else:
            regex += _WILDCARDS.get(token) or re.escape(token)
    try:
        return re.compile(f"{regex}(?:/.*)?", re.DOTALL)
    except re.error as error:
        raise DataError(f"{glob!r} is not a glob: {error}") from None


def _problem(below: str) -> str | None:
    """Judges a file by its path below the folder that was searched."""
    if _UNUSABLE.search(below):
        return UNUSABLE_NAME
    if any(part.startswith(("_", ".")) for part in below.split("/")):
        return HIDDEN_NAME
    return None
