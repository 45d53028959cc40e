"""Lists of the test and the training images, which give the rows of another tool's predictions their splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from cxr_spark.config import EvaluateSettings
from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.split_lists import listed_splits
from cxr_spark.errors import DataError, UsageError
from cxr_spark.evaluation.reading.groupings import SPLIT
from cxr_spark.storage.store import read_uri
from cxr_spark.tables.schema import TRAIN

#: The split of images that no list names.
UNLISTED = "unlisted"


def read_lists(uris: Mapping[str, str]) -> dict[str, bytes]:
    """Reads the list of each split.

    Args:
        uris: the full URI of the list of each split, `test` or `train` or both.

    Raises:
        DataError: there is no such file.
    """
    contents = {}
    for split, uri in uris.items():
        try:
            contents[split] = read_uri(uri)
        except FileNotFoundError:
            raise DataError(f"--{split}-list {uri}: no such file") from None
    return contents


def with_splits(truth: LabelTable, contents: Mapping[str, bytes]) -> LabelTable:
    """Gives each labelled image the split of the list that names it, else `UNLISTED`.

    Args:
        truth: the labels.
        contents: the text of the list of each split; nothing leaves the labels as they are.

    Raises:
        DataError: a list is not one, an image is in both, or none of the images has a label.
    """
    if not contents:
        return truth
    listed = listed_splits(truth.table["image_index"].to_pylist(), contents)
    splits = pa.array([split or UNLISTED for split in listed.split], pa.string())
    told = list(listed.guesses)
    unlabelled = listed.notes.get("list_entries_without_label", 0)
    if unlabelled:
        told.append(f"{unlabelled} images of the lists have no label and are left out: check --labels")
    return replace(truth, table=truth.table.append_column(SPLIT, splits), warnings=(*truth.warnings, *told))


def told_unpredicted(truth: LabelTable, split: str, evaluated: int) -> list[str]:
    """Warns of images of a list that have a label and no prediction.

    Args:
        truth: labels that `with_splits` returned.
        split: the split that was evaluated.
        evaluated: the number of its images that were evaluated.
    """
    listed = truth.table.column(SPLIT).to_pylist().count(split)
    if evaluated >= listed:
        return []
    return [
        f"{listed - evaluated} of {listed} labelled images of the {split} list have no prediction: the AUCs are of the "
        "others alone"
    ]


def check_lists(settings: EvaluateSettings, labelled: bool) -> None:
    """Refuses lists that say nothing of the predictions, or leave nothing to evaluate.

    Args:
        settings: the lists, and the split that is evaluated.
        labelled: whether label files are given.

    Raises:
        UsageError: the lists cannot work.
    """
    option = "--test-list" if settings.test_list else "--train-list"
    if (settings.test_list or settings.train_list) and not labelled:
        raise UsageError(
            f"{option} is for predictions that get their labels by --labels; those of the score job know their splits: "
            "use --split test"
        )
    if settings.train_list and not settings.test_list and settings.split != TRAIN:
        raise UsageError(
            "--train-list alone says which images are not to be evaluated, but not which are: give --test-list, too, "
            "or evaluate the training images by --split train"
        )
