"""The datasets that are understood, by the name that `--dataset` takes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.chexpert import chexpert_image_index, read_chexpert_labels
from cxr_spark.datasets.folder import folder_image_index, labels_from_folders, refuse_label_file
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.errors import ConfigError


@dataclass(frozen=True)
class Dataset:
    """How a dataset's labels are read and how its image files are named in them.

    Attributes:
        name: what `--dataset` takes.
        read_labels: label file (bytes, and their source for messages) to labels.
        image_index: the `image_index` of an image file, from its URI and the URI of the folder that was searched.
        labels_of_images: labels from the `image_index` of all images, where the dataset has no label file; else None.
    """

    name: str
    read_labels: Callable[[bytes, str], LabelTable]
    image_index: Callable[[str, str], str]
    labels_of_images: Callable[[Sequence[str]], LabelTable] | None = None


def base_name(uri: str, root: str) -> str:
    """Returns the file name of an image: NIH's names are unique over all its folders."""
    return posixpath.basename(uri)


_ALL = (
    Dataset("nih", read_nih_labels, base_name),
    Dataset("chexpert", read_chexpert_labels, chexpert_image_index),
    Dataset("folder", refuse_label_file, folder_image_index, labels_from_folders),
)
DATASETS: Mapping[str, Dataset] = MappingProxyType({dataset.name: dataset for dataset in _ALL})


def dataset_named(name: str) -> Dataset:
    """Returns the dataset of that name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise ConfigError(f"dataset {name!r} is not known: expected one of {', '.join(DATASETS)}") from None
