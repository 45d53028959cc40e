"""What the prepare job reads: images, label files and official lists, and the fingerprint of their contents."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_spark.config import PrepareSettings
from cxr_spark.config.labels import LabelSettings
from cxr_spark.datasets.base import LabelFile
from cxr_spark.errors import DataError
from cxr_spark.imaging.listing import ImageFiles
from cxr_spark.storage.store import parent_and_name, read_uri

#: The lists of NIH's download; found beside the label file where they are not named.
OFFICIAL_LISTS = {"train_list": "train_val_list.txt", "test_list": "test_list.txt"}

_OPTIONS = {name: f"--{name.replace('_', '-')}" for name in OFFICIAL_LISTS}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """Full URIs of all that is read; None where there is nothing."""

    images: tuple[str, ...]
    labels: tuple[str, ...]
    train_list: str | None
    test_list: str | None

    def recorded(self) -> dict[str, Any]:
        """Returns what the manifest tells: one label file, the usual case, by its URI alone."""
        labels = self.labels[0] if len(self.labels) == 1 else list(self.labels) or None
        return {**vars(self), "images": list(self.images), "labels": labels}


@dataclass(frozen=True)
class Texts:
    """Contents of the label files and of the official lists, the latter by the names of `OFFICIAL_LISTS`."""

    labels: tuple[LabelFile, ...]
    lists: Mapping[str, bytes]


def find_sources(uris: Mapping[str, Sequence[str]], settings: PrepareSettings) -> Sources:
    """Returns the sources: those that were named, and NIH's lists where they lie beside the labels.

    Args:
        uris: the options --images, --labels, --train-list and --test-list to their full URIs.
        settings: the settings of the job.
    """
    lists: dict[str, str | None] = {name: next(iter(uris[_OPTIONS[name]]), None) for name in OFFICIAL_LISTS}
    labels = tuple(uris["--labels"])
    if settings.dataset == "nih" and settings.split in (None, "official") and labels and not any(lists.values()):
        folder, _ = parent_and_name(labels[0])
        if all(folder.exists(name) for name in OFFICIAL_LISTS.values()):
            lists = {name: folder.uri_of(file) for name, file in OFFICIAL_LISTS.items()}
            log.info("official lists found beside the labels: %s", ", ".join(OFFICIAL_LISTS.values()))
    return Sources(tuple(uris["--images"]), labels, **lists)


def read_texts(sources: Sources) -> Texts:
    """Reads label files and lists.

    Raises:
        DataError: one of them does not exist.
    """
    lists = {name: _read(name, uri) for name in OFFICIAL_LISTS if (uri := getattr(sources, name)) is not None}
    return Texts(tuple(LabelFile(_read("labels", uri), uri) for uri in sources.labels), lists)


def recorded_settings(settings: PrepareSettings) -> dict[str, Any]:
    """Returns the settings that decide the result; where the inputs are is told by `Sources`."""
    later = {"dicom", "white_level", *LabelSettings.model_fields} - {"uncertain"}
    excluded = {"images", "labels", "train_list", "test_list", *settings.at_default(*later)}
    return settings.model_dump(mode="json", exclude=excluded)


def fingerprint(settings: PrepareSettings, sources: Sources, texts: Texts, found: ImageFiles) -> dict[str, Any]:
    """Returns all that decides the result of a preparation, as JSON values."""
    named = {**texts.lists, **dict(_numbered(texts.labels))}
    contents = {name: hashlib.sha256(text).hexdigest() for name, text in named.items()}
    files = _digest(f"{file.uri}\0{file.size}\0{file.modified}" for file in found.files)
    return {**recorded_settings(settings), **contents, "images": list(sources.images), "image_files": files}


def _read(name: str, uri: str) -> bytes:
    try:
        return read_uri(uri)
    except FileNotFoundError:
        raise DataError(f"--{name.replace('_', '-')} {uri}: no such file") from None


def _numbered(files: Sequence[LabelFile]) -> Iterator[tuple[str, bytes]]:
    """Names the contents of label files: `labels`, `labels2` and on."""
    for number, file in enumerate(files, start=1):
        yield f"labels{number if number > 1 else ''}", file.data


def _digest(lines: Iterable[str]) -> str:
    hashed = hashlib.sha256()
    for line in lines:
        hashed.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return hashed.hexdigest()
