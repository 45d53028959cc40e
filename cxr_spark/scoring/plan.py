"""Cuts the images of a score job into parts, one for each task: prepared files, or groups of raw images. No Spark."""

from __future__ import annotations

import logging
import math
import posixpath
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from cxr_spark.datasets.findings import shared_findings, told_synonyms
from cxr_spark.errors import DataError
from cxr_spark.imaging.listing import ImageFiles
from cxr_spark.imaging.rejected import DUPLICATE_NAME, REASONS
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import QUARANTINE, SPLITS
from cxr_spark.tables.text import printable

log = logging.getLogger(__name__)

#: The most raw images of one task. They take about a minute.
MAX_IMAGES = 512
#: Tasks for each core on small data, so that none is long idle ...
TASKS_PER_CORE = 3
#: ... as long as a task keeps this many images: each pays for a file and a round trip.
MIN_IMAGES = 16

#: The advice that is given where several images have one name.
APART = (
    "tell them apart by their paths with --image-index path, from one --images folder above all of them; predictions "
    "under other names need an --out of their own"
)


def remedy_for_names(reasons: Container[str]) -> str:
    """Returns the end of an error about images that were set aside: what helps where their names are the reason."""
    return f"; {APART}" if DUPLICATE_NAME in reasons else ""


def _name(uri: str, root: str) -> str:
    return posixpath.basename(uri)


def _path(uri: str, root: str) -> str:
    return uri[len(root.rstrip("/")) + 1 :]


#: The functions that name a raw image, by the value of the setting `score.image_index`. They take the URI of the image
#: and the URI of the folder that was searched.
NAMINGS: Mapping[str, Callable[[str, str], str]] = MappingProxyType({"name": _name, "path": _path})


class RawImage(NamedTuple):
    """An image file to score.

    Attributes:
        image_index: its name in the predictions.
        uri: its full URI.
        size: its size in bytes.
    """

    image_index: str
    uri: str
    size: int


@dataclass(frozen=True)
class RawPart:
    """Image files that one task scores.

    Attributes:
        number: its position among all parts. It is in the name of the file that is written.
        images: the images, in the order of their names.
    """

    number: int
    images: tuple[RawImage, ...]


@dataclass(frozen=True)
class PreparedPart:
    """One file of a prepared dataset, or some of its images.

    Attributes:
        number: its position among all parts.
        split: the split of its images.
        name: the name of the file in the dataset's store.
        sha256: the SHA-256 that its bytes must have; None to take them as they are.
        rows: the rows of the file that are scored, in order; None for all.
    """

    number: int
    split: str
    name: str
    sha256: str | None = None
    rows: tuple[int, ...] | None = None


Part = PreparedPart | RawPart


def prepared_parts(dataset: PreparedDataset, split: str) -> list[PreparedPart]:
    """Cuts a split of a prepared dataset into parts, one for each file.

    Args:
        dataset: the dataset.
        split: a name of `schema.SPLITS`, several with commas between them, or `all`.

    Raises:
        DataError: there are no images.
    """
    splits = SPLITS if split == "all" else tuple(split.split(","))
    files = [(one, name) for one in splits for name in dataset.files(one)]
    if not files:
        counts = ", ".join(f"{name} {dataset.images(name)}" for name in SPLITS)
        raise DataError(f"{dataset.store.uri} has no images in split {split!r}: choose another --split ({counts})")
    return [PreparedPart(i, one, name, dataset.sha256(name)) for i, (one, name) in enumerate(files)]


def raw_parts(found: ImageFiles, image_index: Callable[[str, str], str], cores: int) -> tuple[list[RawPart], pa.Table]:
    """Cuts raw images into parts.

    Args:
        found: the image files.
        image_index: the name of an image, from its URI and the URI of the folder that was searched.
        cores: tasks that run at the same time.

    Returns:
        The parts; and the files that are refused for their names, as a table with the columns of `schema.QUARANTINE`.

    Raises:
        DataError: there are no images.
    """
    if not found.files:
        raise DataError(
            f"no .png, .jpg, .jpeg or .dcm file found among {found.ignored} files, nor one that is such inside: "
            "check --images"
        )
    names = [image_index(file.uri, file.root) for file in found.files]
    times = Counter(name for name, file in zip(names, found.files, strict=True) if file.problem is None)
    images: list[RawImage] = []
    aside: list[dict[str, str]] = []
    for name, file in zip(names, found.files, strict=True):
        problem = file.problem or (DUPLICATE_NAME if times[name] > 1 else None)
        if problem is None:
            images.append(RawImage(name, file.uri, file.size))
        else:
            row = {"image_index": printable(name), "uri": printable(file.uri), "reason": problem}
            aside.append({**row, "detail": REASONS[problem]})
    twice = sum(row["reason"] == DUPLICATE_NAME for row in aside)
    if twice:
        log.warning(
            "%d of %d images have the name of another image and are set aside, such as %r: %s",
            twice,
            len(found.files),
            next(row["uri"] for row in aside if row["reason"] == DUPLICATE_NAME),
            APART,
        )
    images.sort()
    n = number_of_parts(len(images), cores)
    cuts = np.linspace(0, len(images), n + 1).astype(int).tolist()
    parts = [RawPart(i, tuple(images[a:b])) for i, (a, b) in enumerate(pairwise(cuts))]
    return parts, pa.Table.from_pylist(aside, schema=QUARANTINE)


def number_of_parts(images: int, cores: int) -> int:
    """Returns the number of parts that raw images are cut into.

    >>> number_of_parts(1000, cores=4), number_of_parts(100_000, cores=4), number_of_parts(3, cores=4)
    (12, 196, 1)
    """
    by_cores = min(TASKS_PER_CORE * cores, math.ceil(images / MIN_IMAGES))
    return min(images, max(math.ceil(images / MAX_IMAGES), by_cores))


def label_order(model: Sequence[str], data: Sequence[str], source: str) -> tuple[int | None, ...]:
    """Finds the label of each finding of a model in a dataset's label lists, by name or synonym.

    >>> label_order(("Mass", "Effusion"), ("Edema", "Pleural Effusion"), "hdfs:///data/prepared")
    (None, 1)

    Args:
        model: the findings of the model.
        data: the findings of the dataset, in the order of its label lists.
        source: the URI of the dataset, for messages.

    Returns:
        The position of each label; None where the dataset has no such label.

    Raises:
        DataError: the two have no finding in common.
    """
    found = shared_findings(model, data)
    if not found:
        raise DataError(
            f"{source} has labels of {', '.join(data)}, the model's findings are {', '.join(model)}: none in common"
        )
    told = told_synonyms(found)
    if told:
        log.info("%s: %s", source, told)
    return tuple(data.index(found[name]) if name in found else None for name in model)
