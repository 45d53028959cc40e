"""Reads labels for predictions that have none, from label files or class folders. They are used in evaluation alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cxr_spark.config.labels import LabelSettings
from cxr_spark.datasets.base import LabelFile, LabelTable
from cxr_spark.datasets.registry import FOR_ALL, Dataset, LabelSource, dataset_named
from cxr_spark.errors import DataError, UsageError
from cxr_spark.imaging.listing import find_images
from cxr_spark.storage.store import read_uri


@dataclass(frozen=True)
class Naming:
    """A function from the name of an image in predictions, usually its file or path, to its name in the labels.

    Spark sends it to the executors.

    Attributes:
        dataset: the dataset of the labels, a name of `DATASETS`.
    """

    dataset: str

    def __call__(self, name: str) -> str:
        """Returns the `image_index`."""
        return dataset_named(self.dataset).image_index(name, "")


def read_truth(dataset: Dataset, sources: Sequence[str], settings: LabelSettings) -> tuple[LabelTable, str]:
    """Reads labels.

    Args:
        dataset: the dataset that the label files belong to.
        sources: URIs of label files; for class folders the folder above them.
        settings: how they are read; settings that do not apply to the dataset are ignored.

    Returns:
        The labels, and a hash of all that they were read from.

    Raises:
        DataError: a source is not there, or the labels are wrong.
        UsageError: label files are missing.
    """
    if not dataset.has_label_files:
        if not sources:
            raise UsageError(f"dataset {dataset.name!r} has its labels in folders: give the one above them as --labels")
        found = find_images(sources)
        names = [dataset.image_index(file.uri, file.root) for file in found.files if file.problem is None]
        if not names:
            raise DataError(f"--labels {', '.join(sources)}: no images there, expected a folder of class folders")
        return dataset.read_labels(LabelSource((), names, label_settings(dataset, settings))), _digest(
            *(name.encode("utf-8", "surrogateescape") for name in names)
        )
    files = tuple(LabelFile(_read(uri), uri) for uri in sources)
    labels = dataset.read_labels(LabelSource(files, (), label_settings(dataset, settings)))
    return labels, _digest(*(file.data for file in files))


def label_settings(dataset: Dataset, settings: LabelSettings) -> LabelSettings:
    """Returns the settings that apply to a dataset."""
    names = (dataset.options | FOR_ALL) & set(LabelSettings.model_fields)
    return LabelSettings(**{name: getattr(settings, name) for name in names})


def _digest(*contents: bytes) -> str:
    hashed = hashlib.sha256()
    for content in contents:
        hashed.update(len(content).to_bytes(8, "big") + content)
    return hashed.hexdigest()


def _read(uri: str) -> bytes:
    try:
        return read_uri(uri)
    except FileNotFoundError:
        raise DataError(f"--labels {uri}: no such file") from None
