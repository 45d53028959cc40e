"""The datasets whose labels can be read, by the name that `--dataset` takes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from cxr_spark.config.labels import LabelSettings
from cxr_spark.datasets.base import LabelFile, LabelTable, merged
from cxr_spark.datasets.chexpert import chexpert_image_index, read_chexpert_labels
from cxr_spark.datasets.folder import folder_image_index, labels_from_folders
from cxr_spark.datasets.nih import read_nih_labels
from cxr_spark.datasets.own_csv import read_own_labels
from cxr_spark.datasets.patients import with_patients_by_pattern
from cxr_spark.datasets.rsna import read_rsna_labels, rsna_image_index
from cxr_spark.errors import ConfigError, UsageError

#: The settings of labels that apply to every dataset.
FOR_ALL = frozenset({"patient_pattern"})


@dataclass(frozen=True)
class LabelSource:
    """All that labels can be read from, and the settings for reading them.

    Attributes:
        files: the label files.
        images: the `image_index` of each image that was found.
        settings: the meaning of the columns, and the policies for uncertain and for empty cells.
        positive_class: see `labels_from_folders`.
    """

    files: tuple[LabelFile, ...]
    images: Sequence[str]
    settings: LabelSettings = field(default_factory=LabelSettings)
    positive_class: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A kind of dataset: how its labels are read, and how they name the image files.

    Attributes:
        name: the value of `--dataset`.
        image_index: a function that returns the `image_index` of an image file, from its URI and the URI of the folder
            that was searched.
        read: a function that reads the labels.
        has_label_files: whether the labels are in files; if not, they are in the paths of the images.
        header_tells_patient: whether the patient in the header of a DICOM image replaces that of the labels, since the
            labels have only the name of the image.
        options: the settings of `prepare` that apply to this dataset and not to every one.
    """

    name: str
    image_index: Callable[[str, str], str]
    read: Callable[[LabelSource], LabelTable]
    has_label_files: bool = True
    header_tells_patient: bool = False
    options: frozenset[str] = frozenset()

    def read_labels(self, source: LabelSource) -> LabelTable:
        """Reads the labels.

        Raises:
            UsageError: label files are missing, or there are some where there should be none.
            ConfigError: an option does not apply to this dataset, or has a wrong value.
            DataError: the labels are wrong.
        """
        if self.has_label_files and not source.files:
            raise UsageError("--labels is missing: give it, or prepare.labels in the settings file")
        if source.files and not self.has_label_files:
            raise UsageError(
                f"dataset {self.name!r} takes its labels from the names of folders: leave out --labels "
                f"{source.files[0].source}"
            )
        given = {name: getattr(source.settings, name) for name in LabelSettings.model_fields}
        for option, value in {**given, "positive_class": source.positive_class}.items():
            if value not in (None, ()) and option not in self.options | FOR_ALL:
                users = ", ".join(dataset.name for dataset in DATASETS.values() if option in dataset.options)
                raise ConfigError(
                    f"prepare.{option} means nothing to dataset {self.name!r}, only to {users}: leave it out"
                )
        labels = self.read(source)
        pattern = source.settings.patient_pattern
        return labels if pattern is None else with_patients_by_pattern(labels, pattern)


def base_name(uri: str, root: str) -> str:
    """Returns the file name of an image: NIH's names are unique over all its folders."""
    return posixpath.basename(uri)


def _read_nih(source: LabelSource) -> LabelTable:
    return merged([read_nih_labels(*file) for file in source.files])


def _read_chexpert(source: LabelSource) -> LabelTable:
    return read_chexpert_labels(source.files, source.settings.uncertain or "ignore")


def _read_own(source: LabelSource) -> LabelTable:
    return read_own_labels(source.files, source.settings)


def _read_folder(source: LabelSource) -> LabelTable:
    return labels_from_folders(source.images, source.positive_class)


def _read_rsna(source: LabelSource) -> LabelTable:
    return read_rsna_labels(source.files)


_ALL = (
    Dataset("nih", base_name, _read_nih),
    Dataset("chexpert", chexpert_image_index, _read_chexpert, options=frozenset({"uncertain"})),
    Dataset("rsna", rsna_image_index, _read_rsna, header_tells_patient=True),
    Dataset("folder", folder_image_index, _read_folder, has_label_files=False, options=frozenset({"positive_class"})),
    Dataset("csv", folder_image_index, _read_own, options=frozenset(LabelSettings.model_fields) - FOR_ALL),
)
DATASETS: Mapping[str, Dataset] = MappingProxyType({dataset.name: dataset for dataset in _ALL})


def dataset_named(name: str) -> Dataset:
    """Returns the dataset of a name.

    Raises:
        ConfigError: there is no such dataset.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise ConfigError(f"dataset {name!r} is not known: expected one of {', '.join(DATASETS)}") from None
