"""Joins the names of image files with the names in the labels, also where the two are written in different ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.matching import renamed
from cxr_spark.datasets.registry import Dataset

#: The name of the note that counts the files that could belong to several labels.
DOUBTFUL = "names_doubtful"


@dataclass(frozen=True)
class FileNames:
    """The names of image files in the labels.

    Attributes:
        literal: the dataset's own rule: it returns the name of a file, from the URI of the file and that of the folder
            that was searched.
        others: the name in the labels for a name by that rule, where the two are written differently.
    """

    literal: Callable[[str, str], str]
    others: Mapping[str, str]

    def __call__(self, uri: str, root: str) -> str:
        """Returns the `image_index` of a file, from its URI and that of the folder that was searched."""
        name = self.literal(uri, root)
        return self.others.get(name, name)


@dataclass(frozen=True)
class Joined:
    """Files and labels under the same names.

    Attributes:
        image_index: the name of an image file in the labels.
        uris: the URI of each image, by its name in the labels.
        labels: the labels, with notes and warnings of what was guessed.
    """

    image_index: FileNames
    uris: Mapping[str, str]
    labels: LabelTable


def join_names(dataset: Dataset, uris: Mapping[str, str], labels: LabelTable) -> Joined:
    """Finds the label rows of files whose names the labels write differently, where only one row can be meant.

    Args:
        dataset: the dataset, whose rule names the files.
        uris: the URI of each image, by its name by that rule.
        labels: the labels.

    Returns:
        The files under the names of the labels. Where names were guessed, the notes `names_matched_by_path`,
        `names_matched_by_case` and `names_matched_by_suffix` count them, and a warning says so; the note
        `names_doubtful` counts files that could be of several labels.
    """
    found = renamed(uris.keys(), labels.table["image_index"].to_pylist())
    if not found.names and not found.doubtful:
        return Joined(FileNames(dataset.image_index, {}), uris, labels)
    notes = {f"names_matched_by_{way}": count for way, count in found.counts.items()}
    if found.doubtful:
        notes[DOUBTFUL] = len(found.doubtful)
    told = (*labels.warnings, *found.warnings(), *found.doubts())
    return Joined(
        FileNames(dataset.image_index, found.names),
        {found.names.get(name, name): uri for name, uri in uris.items()},
        replace(labels, notes={**labels.notes, **notes}, warnings=told),
    )
