"""Finding image files below folders and globs, on any file system.

Of files with a usual suffix, of images or of tables and texts, only names and sizes are looked at. Of files with an
unusual one, or none, the first bytes are read: DICOM archives name files by numbers alone, and browsers save JPEGs as
`.jfif`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from cxr_spark.errors import DataError, RunError, StorageAwayError
from cxr_spark.imaging.decode import SNIFFED_BYTES, is_image
from cxr_spark.imaging.ignored import OTHER_SUFFIXES, Ignored, suffix_of
from cxr_spark.imaging.rejected import HIDDEN_NAME, UNUSABLE_NAME
from cxr_spark.storage.store import FileInfo, Store, read_uri

#: Files with these names are taken for images without a look into them.
IMAGE_SUFFIXES: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".dcm")
#: The number of files whose first bytes are read at the same time. This hides the latency of HDFS and object stores.
_THREADS = 16

_GLOB = re.compile(r"[*?\[{]")
#: Line breaks, and the lone surrogates in which Python keeps bytes that are not UTF-8.
_UNUSABLE = re.compile("[\0\n\r\ud800-\udfff]")
_TOKENS = re.compile(r"\*\*/|\*\*|\[[^\]]+\]|.", re.DOTALL)
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


class ImageFile(NamedTuple):
    """A file that has the name or the first bytes of an image.

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
    """The image files that a search found.

    Attributes:
        files: the image files in the order of their URIs, each once.
        ignored: the number of other files.
    """

    files: list[ImageFile]
    ignored: int


class Survey(NamedTuple):
    """The result of a search for images.

    Attributes:
        found: the image files.
        ignored: the other files, and the folders that may not be read.
    """

    found: ImageFiles
    ignored: Ignored


def find_images(patterns: Sequence[str]) -> ImageFiles:
    """Lists the image files of folders and globs, with all folders below them, and warns of what was ignored.

    A glob may have `*` and `?` (within a name), `**` (any folders), `[abc]` and `{png,jpg}`; where it matches a folder,
    all below that folder is found.

    Args:
        patterns: full URIs.

    Raises:
        DataError: a folder does not exist, or no file at all matches a glob.
        RunError: a folder cannot be listed.
    """
    survey = survey_images(patterns)
    survey.ignored.warn()
    return survey.found


def survey_images(patterns: Sequence[str]) -> Survey:
    """Does the same as `find_images`, but returns what was ignored instead of logging a warning."""
    images: dict[str, ImageFile] = {}
    others: dict[str, tuple[FileInfo, str]] = {}
    refused: list[str] = []
    for pattern in patterns:
        root, infos = _list(pattern, refused)
        for info in infos:
            if info.uri.lower().endswith(IMAGE_SUFFIXES):
                images.setdefault(info.uri, _image_file(info, root))
            else:
                others.setdefault(info.uri, (info, root))
    for uri in _told_by_content(info for info, _ in others.values()):
        images.setdefault(uri, _image_file(*others.pop(uri)))
    files = [images[uri] for uri in sorted(images)]
    ignored = Ignored.of(others, (image.uri for image in files), sorted(set(refused)))
    return Survey(ImageFiles(files, len(others)), ignored)


def _image_file(info: FileInfo, root: str) -> ImageFile:
    return ImageFile(info.uri, root, info.size, info.modified, _problem(info.uri[len(root) :]))


def _told_by_content(infos: Iterable[FileInfo]) -> list[str]:
    """Returns the URIs of those files that are images by their first bytes."""
    asked = [info.uri for info in infos if info.size and suffix_of(info.uri) not in OTHER_SUFFIXES]
    if not asked:
        return []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="first-bytes") as pool:
        return [uri for uri, found in zip(asked, pool.map(_is_image, asked), strict=True) if found]


def _is_image(uri: str) -> bool:
    """Returns whether a file is an image by its first bytes.

    A file that cannot be read counts as an image: the task that reads it will reject it and say why.
    """
    try:
        return is_image(read_uri(uri, SNIFFED_BYTES))
    except StorageAwayError:
        raise
    except RunError:
        return True
    except FileNotFoundError:  # gone since it was listed
        return False


def _list(pattern: str, refused: list[str]) -> tuple[str, list[FileInfo]]:
    """Returns the folder that was searched, and the files below it that a pattern means."""
    try:
        return pattern, list(Store(pattern).files(refused=refused))
    except FileNotFoundError:
        root, rest = _split(pattern)
    wanted = _glob_regex(rest)
    try:
        infos = [info for info in Store(root).files(refused=refused) if wanted.fullmatch(info.name)]
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
