"""Finds out what the folders above images mean: splits, classes, or something else.

People unpack archives in many ways, and a folder that is misread would silently become a class or training images. So
whatever is not plain is refused or warned of, with the name of the folder and what to do.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cxr_spark.datasets.csv_rows import shorten
from cxr_spark.datasets.csv_table import spelling
from cxr_spark.datasets.splits import split_named
from cxr_spark.errors import DataError

#: The words after the name of a split in the name of its folder: `train_set`, `Test Images`, `validation-data`.
_AROUND = re.compile(r"(set|sets|data|dataset|images?|imgs?|split|folder|samples?|cases?|cxr|xrays?)$")
#: The names of folders of masks: pictures that are no X-rays but mark regions on them.
_MASKS = re.compile(
    r"(?:.*[ _.-])?(masks?|segmentations?|segs?|annotations?|lung ?masks?|infection ?masks?|heatmaps?|overlays?)"
    r"(?:[ _.-]?\d+)?",
    re.IGNORECASE,
)
#: The names of masks that lie beside their image; the first group is the name of the image.
_MASK_FILE = re.compile(
    r"(.+)[ _.-](?:mask|seg|segmentation|annotation)(?:[ _.-]?\d+)?|(?:mask|seg|segmentation|annotation)[ _.-](.+)",
    re.IGNORECASE,
)
#: Folders that are named for a split and a class at once: `train_NORMAL`, `testA`.
_SPLIT_AND_CLASS = re.compile(r"((?i:train(?:ing)?|val(?:id(?:ation)?)?|test(?:ing)?))(?:[ _.-].+|[A-Z0-9].*)")


class Layout(NamedTuple):
    """The places of class and split in the paths of images.

    Attributes:
        class_depth: position of the folder of the class in a path, from 0.
        split_depth: position of the folder of the split; None where the folders tell no split.
        warnings: what was guessed, in words.
    """

    class_depth: int
    split_depth: int | None
    warnings: tuple[str, ...]


def find_layout(parts: Sequence[Sequence[str]]) -> Layout:
    """Finds the layout of class folders.

    Args:
        parts: each image's path below the folder that was searched, cut at the slashes; the last piece is the name of
            the file.

    Returns:
        The layout `CLASS/image`, `SPLIT/CLASS/image` or `CLASS/SPLIT/image`, each with any folders below.

    Raises:
        DataError: an image lies in no class folder, folders lie beside the split folders, masks lie among the images,
            the names of two classes differ in spelling alone, a class holds others, or folders are named for a split
            and a class at once.
    """
    tops = _images_by_folder(parts, 0)
    _refuse_masks(parts)
    splits = {top for top in tops if folder_split(top) is not None and _is_above_classes(parts, top)}
    if splits and set(tops) == splits:
        layout = Layout(1, 0, ())
    elif splits and _looks_like_splits(parts, splits):
        raise DataError(_stray(tops, splits))
    else:
        inner = all(len(part) > 2 and folder_split(part[1]) is not None for part in parts)
        layout = Layout(0, 1, ()) if inner and parts else Layout(0, None, _same_below(parts))
    for part in parts:
        if len(part) < (3 if layout.split_depth is not None else 2):
            raise DataError(f"image {shorten('/'.join(part))!r} lies in no class folder: expected CLASS/image.png")
    _refuse_twins(part[layout.class_depth] for part in parts)
    numbered = _classes_in_classes(parts, layout.class_depth)
    if layout.split_depth is None:
        _refuse_splits_in_names({part[0] for part in parts})
    return layout._replace(warnings=(*layout.warnings, *numbered, *_copies(parts)))


def folder_split(name: str) -> str | None:
    """Returns the split that a folder's name means; None for other names.

    >>> folder_split("Training_Set"), folder_split("test images"), folder_split("unlabeled")
    ('train', 'test', None)
    """
    word = re.sub(r"[^a-z]", "", name.lower())
    while (shorter := _AROUND.sub("", word)) != word:
        word = shorter
    return split_named(word)


def _images_by_folder(parts: Sequence[Sequence[str]], depth: int) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for part in parts:
        if len(part) > depth + 1:
            counts[part[depth]] += 1
    return counts


def _is_above_classes(parts: Sequence[Sequence[str]], top: str) -> bool:
    return all(len(part) > 2 for part in parts if part[0] == top and len(part) > 1)


def _looks_like_splits(parts: Sequence[Sequence[str]], splits: set[str]) -> bool:
    """Whether folders that are named like splits are splits, and not classes with such a name."""
    below = {part[1] for part in parts if part[0] in splits}
    return len(splits) > 1 or len(below) > 1


def _stray(tops: dict[str, int], splits: set[str]) -> str:
    others = sorted(set(tops) - splits) or ["(the folder itself)"]
    named = ", ".join(f"{shorten(name, 40)!r} ({tops[name]} images)" if name in tops else name for name in others[:5])
    chosen = "{" + ",".join(sorted(splits)) + "}"
    return (
        f"beside the split folders {', '.join(sorted(splits))} there is {named}: it is neither a split nor a class; "
        f"move it elsewhere, or leave it out by --images 'FOLDER/{chosen}'"
    )


def _same_below(parts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Returns a warning where all class folders hold the same folders: then those may be the classes."""
    below: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        if len(part) > 1:
            below[part[0]].add(part[1] if len(part) > 2 else "")
    first, *others = list(below.values()) or [set()]
    if not others or len(first) < 2 or "" in first or any(names != first for names in others):
        return ()
    classes, folders = ", ".join(sorted(below)[:8]), ", ".join(sorted(first)[:8])
    one = sorted(first)[0]
    return (
        f"below every class folder ({classes}) stand the same folders ({folders}), and all their images are taken: if "
        f"only one of them holds X-rays say --images 'FOLDER/*/{one}'; if these are the classes, move them to the top "
        "or name the folders above them train, val and test",
    )


def _refuse_masks(parts: Sequence[Sequence[str]]) -> None:
    folders = {name for part in parts for name in part[:-1]}
    masks = sorted(name for name in folders if _MASKS.fullmatch(name))
    if masks:
        count = sum(any(name in masks for name in part[:-1]) for part in parts)
        if count == len(parts):
            return
        beside = sorted(
            {part[i] for part in parts for i in range(len(part) - 1) if part[i] not in masks}
            & {name for name in folders if spelling(name) in ("images", "image", "imgs", "cxr", "xrays", "raw")}
        )
        glob = f"FOLDER/**/{beside[0]}" if beside else "FOLDER/CLASS"
        raise DataError(
            f"{count} of {len(parts)} images lie in a folder {masks[0]!r} and would become training images: masks are "
            f"no X-rays; name the others by a glob such as --images '{glob}', or move the masks elsewhere"
        )
    there = {"/".join(part) for part in parts}
    stems = {posixpath.splitext(path)[0] for path in there}
    twins = sorted(path for path in there if _masked(posixpath.splitext(path)[0]) in stems)
    if twins:
        raise DataError(
            f"{len(twins)} images are named like masks of others beside them, such as {shorten(twins[0])!r}, and would "
            "become training images: move the masks elsewhere"
        )


def _masked(stem: str) -> str | None:
    """Returns the path of the image that a file is a mask of by its own name, both without suffix."""
    folder, name = posixpath.split(stem)
    match = _MASK_FILE.fullmatch(name)
    return posixpath.join(folder, match[1] or match[2]) if match else None


def _classes_in_classes(parts: Sequence[Sequence[str]], depth: int) -> tuple[str, ...]:
    """Refuses a folder beside the classes that holds some of the classes again, such as one of augmented images.

    Where classes and all folders below them are numbers, those below are patients or studies, of which one may have the
    number of a class: a warning says so. They must be more than the classes, for else they could be the classes again.
    """
    classes = {spelling(part[depth]) for part in parts}
    below: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        below[part[depth]].update(part[depth + 1 : -1])
    told = ""
    for top, names in below.items():
        inner = sorted(name for name in names if spelling(name) in classes - {spelling(top)})
        if inner and all(map(str.isdecimal, classes | names)) and not names <= classes:
            told = told or f"{shorten(top, 40)}/{shorten(inner[0], 40)}"
        elif inner:
            count = sum(part[depth] == top for part in parts)
            raise DataError(
                f"below the class folder {shorten(top, 40)!r} ({count} images) stands a folder with the name "
                f"of another class, {shorten(inner[0], 40)!r}: move it elsewhere, rename it if it is no class (but a "
                "patient), or name the class folders that are wanted by a glob such as "
                "--images 'FOLDER/{CLASS1,CLASS2}'"
            )
    if not told:
        return ()
    return (
        f"folders below the classes have the number of a class, such as {told!r}: they were taken for patients or "
        "studies, since there are others that are no class; move them to the top if they are classes",
    )


def _refuse_splits_in_names(classes: set[str]) -> None:
    named = {name: match[1].lower()[:3] for name in sorted(classes) if (match := _SPLIT_AND_CLASS.fullmatch(name))}
    if len(set(named.values())) > 1:
        raise DataError(
            f"the folders {', '.join(shorten(name, 40) for name in list(named)[:8])} are named for a split and a class "
            "at once, and each would become a class of its own: expected folders such as train/NORMAL and test/NORMAL"
        )


def _copies(parts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Warns of images with the name of an image in a folder above, as previews have."""
    there = {tuple(part) for part in parts}
    copies = [part for part in parts if any((*part[:depth], part[-1]) in there for depth in range(1, len(part) - 1))]
    if not copies:
        return ()
    return (
        f"{len(copies)} images have the name of another image in a folder above them, such as "
        f"{shorten('/'.join(copies[0]))!r}: if they are copies of it, leave them out by a glob with as many "
        "folders as the images have above them, such as --images 'FOLDER/*/*.png' for FOLDER/CLASS/IMAGE.png",
    )


def _refuse_twins(classes: Iterable[str]) -> None:
    names = sorted(set(classes))
    by_spelling: dict[str, str] = {}
    for name in names:
        other = by_spelling.setdefault(spelling(name).strip(), name)
        if other != name:
            raise DataError(
                f"the class folders {other!r} and {name!r} differ only in case, blanks, underscores, hyphens or the "
                "encoding of accents, and would be two classes: give them one name"
            )
