"""Splits images by lists of the training and the test images, also where the lists write names differently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxr_spark.datasets.csv_table import shorten
from cxr_spark.datasets.image_lists import read_image_list
from cxr_spark.datasets.matching import WAY_WORDS, WAYS, NameMatcher
from cxr_spark.errors import ConfigError, DataError
from cxr_spark.tables.schema import TEST, TRAIN


class ListedSplits(NamedTuple):
    """The splits of images by lists.

    Attributes:
        split: object array of shape (images,): train, test, or None for images in neither list.
        notes: the numbers `images_in_no_list` and `list_entries_without_label`; where the lists write names
            differently, also `list_names_matched_by_path`, `..._by_case` and `..._by_suffix`.
        guesses: which names were matched in another way than literally, each with what to do about it.
        warnings: what was guessed or left out, each with what to do about it.
    """

    split: NDArray[np.object_]
    notes: dict[str, int]
    guesses: list[str]
    warnings: list[str]


def split_by_lists(index: Sequence[str], train_list: bytes | None, test_list: bytes | None) -> ListedSplits:
    """Splits images by two lists.

    Args:
        index: `image_index` of the labelled images, each once.
        train_list: text of the list of training (and validation) images.
        test_list: text of the list of test images.

    Raises:
        ConfigError: a list is missing.
        DataError: a list is not one, an image is in both, or none of the images has a label.
    """
    missing = [option for option, data in (("--train-list", train_list), ("--test-list", test_list)) if data is None]
    if train_list is None or test_list is None:
        raise ConfigError(
            f"split 'official' needs {' and '.join(missing)}: the dataset's own lists of images "
            "(NIH: train_val_list.txt, test_list.txt); or use --split patient"
        )
    return listed_splits(index, {TRAIN: train_list, TEST: test_list})


def listed_splits(index: Sequence[str], contents: Mapping[str, bytes]) -> ListedSplits:
    """Finds the split of each image by the list that names it.

    Args:
        index: `image_index` of the labelled images, each once.
        contents: the text of the list of each split, `train` or `test` or both.

    Raises:
        DataError: a list is not one, an image is in both, or none of the images has a label.
    """
    lists = {split: read_image_list(content, f"{split} list") for split, content in contents.items()}
    if len(lists) > 1 and len(both := lists[TRAIN].intersection(lists[TEST])):
        raise _in_both(both[0], len(both))
    matcher = NameMatcher(index)
    split = np.full(len(index), None, dtype=object)
    counts: Counter[str | None] = Counter()
    unlabelled, example = 0, None
    for name, listed in lists.items():
        rows, ways = matcher.find(listed.tolist())
        found = np.unique(rows[rows >= 0])
        taken = found[split[found] != None]  # noqa: E711 - compares the values of an array
        if len(taken):
            raise _in_both(index[int(taken[0])], len(taken))
        split[found] = name
        unlabelled += int((rows < 0).sum())
        counts.update(ways)
        if example is None and any(ways):
            place = next(i for i, way in enumerate(ways) if way)
            example = (listed[place], index[int(rows[place])])
    names = sum(map(len, lists.values()))
    if unlabelled == names:
        raise DataError(
            f"none of the {names} images of the {' and the '.join(lists)} list has a label: the lists name images like "
            f"{shorten(next(iter(lists.values()))[0])!r}, the labels like {shorten(index[0])!r}"
        )
    outside = int(sum(value is None for value in split))
    notes = {"images_in_no_list": outside, "list_entries_without_label": unlabelled}
    guesses = []
    if example is not None:
        notes |= {f"list_names_matched_by_{way}": counts[way] for way in WAYS}
        guesses += [
            f"{counts[way]} images of the lists were matched with labels {WAY_WORDS[way]}, such as "
            f"{shorten(example[0])!r} with {shorten(example[1])!r}: if these are not the same images, write the names "
            "alike in lists and labels"
            for way in WAYS
            if counts[way]
        ]
    warnings = [*guesses]
    if outside:
        warnings.append(
            f"{outside} of {len(index)} labelled images are in neither list and are left out: add them to a list if "
            "they are wanted"
        )
    if unlabelled:
        warnings.append(
            f"{unlabelled} of {names} images of the lists have no label, or could mean several: compare the names in "
            "lists and labels"
        )
    return ListedSplits(split, notes, guesses, warnings)


def _in_both(name: str, number: int) -> DataError:
    return DataError(f"image {shorten(name)!r} is in both the train list and the test list ({number} are)")
