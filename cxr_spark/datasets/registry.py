"""The datasets that are understood, by the name that `--dataset` takes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from cxr_spark.datasets.base import LabelFile, LabelTable, merged
from cxr_spark.datasets.chexpert import chexpert_image_index, read_chexpert_labels
from cxr_spark.datasets.folder import folder_image_index, labels_from_folders
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.datasets.rsna import read_rsna_labels, rsna_image_index
from cxr_spark.errors import ConfigError, UsageError


@dataclass(frozen=True)
class LabelSource:
    """All that labels can come from, and what the settings say about reading them.

    Attributes:
        files: label files.
        images: `image_index` of the images that were found, each once.
        uncertain: see `read_chexpert_labels`; None for its default.
        positive_class: see `labels_from_folders`.
    """

    files: tuple[LabelFile, ...]
    images: Sequence[str]
    uncertain: str | Mapping[str, str] | None = None
    positive_class: str | None = None


@dataclass(frozen=True)
class Dataset:
    """How a dataset's labels are read and how its image files are named in them.

    Attributes:
        name: what `--dataset` takes.
        image_index: the `image_index` of an image file, from its URI and the URI of the folder that was searched.
        read: reads the labels.
        has_label_files: the labels are in files; else in the paths of the images.
        has_headers: sex, age and view stand in the headers of the images.
        options: fields of `LabelSource`, named as the settings of `prepare`, that mean something to it.
    """

    name: str
    image_index: Callable[[str, str], str]
    read: Callable[[LabelSource], LabelTable]
    has_label_files: bool = True
    has_headers: bool = False
    options: frozenset[str] = frozenset()

    def read_labels(self, source: LabelSource) -> LabelTable:
        """Reads the labels.

        Raises:
            UsageError: label files are missing, or there are some where there should be none.
            ConfigError: an option that means nothing here, or a wrong value of one.
            DataError: the labels are wrong.
        """
        if self.has_label_files and not source.files:
            raise UsageError("--labels is missing: give it, or prepare.labels in the settings file")
        if source.files and not self.has_label_files:
            raise UsageError(
                f"dataset {self.name!r} takes its labels from the names of folders: leave out --labels "
                f"{source.files[0].source}"
            )
        for option in ("uncertain", "positive_class"):
            if getattr(source, option) is not None and option not in self.options:
                users = ", ".join(dataset.name for dataset in DATASETS.values() if option in dataset.options)
                raise ConfigError(
                    f"prepare.{option} means nothing to dataset {self.name!r}, only to {users}: leave it out"
                )
        return self.read(source)


def base_name(uri: str, root: str) -> str:
    """Returns the file name of an image: NIH's names are unique over all its folders."""
    return posixpath.basename(uri)


def _read_nih(source: LabelSource) -> LabelTable:
    return merged([read_nih_labels(*file) for file in source.files])


def _read_chexpert(source: LabelSource) -> LabelTable:
    return read_chexpert_labels(source.files, "ignore" if source.uncertain is None else source.uncertain)


def _read_folder(source: LabelSource) -> LabelTable:
    return labels_from_folders(source.images, source.positive_class)


def _read_rsna(source: LabelSource) -> LabelTable:
    return read_rsna_labels(source.files)


_ALL = (
    Dataset("nih", base_name, _read_nih),
    Dataset("chexpert", chexpert_image_index, _read_chexpert, options=frozenset({"uncertain"})),
    Dataset("rsna", rsna_image_index, _read_rsna, has_headers=True),
    Dataset("folder", folder_image_index, _read_folder, has_label_files=False, options=frozenset({"positive_class"})),
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
