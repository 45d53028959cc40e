"""Takes labels from folders: every image lies in a folder with the name of its one class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cxr_spark.datasets.base import LabelTable, label_table
from cxr_spark.datasets.csv_table import shorten
from cxr_spark.datasets.splits import split_named
from cxr_spark.errors import DataError, UsageError


def labels_from_folders(paths: Sequence[str]) -> LabelTable:
    """Reads labels from the paths of images: `CLASS/image.png`, or `SPLIT/CLASS/image.png`.

    Where every path begins with a folder named like a split (train, val, test or a common synonym) above the class,
    that is passed on as `given_split`. Folders below the class are allowed. Patients are not known.

    Args:
        paths: paths relative to the folder that was searched, as `folder_image_index` gives them.

    Returns:
        One label a class, in alphabetical order, exactly one of them 1 in each row; rows in order of the paths.

    Raises:
        DataError: an image lies in no class folder, or there are fewer than two classes.
    """
    parts = [path.split("/") for path in paths]
    by_split = all(len(part) > 2 and split_named(part[0]) is not None for part in parts)
    depth = 1 if by_split else 0
    for part in parts:
        if len(part) < depth + 2:
            raise DataError(f"image {shorten('/'.join(part))!r} lies in no class folder: expected CLASS/image.png")
    classes = [part[depth] for part in parts]
    findings = tuple(sorted(set(classes)))
    if len(findings) < 2:
        raise DataError(
            f"the images lie in {len(findings)} class folders ({', '.join(findings)}): expected two or more, "
            "give the folder above them as --images"
        )
    position = {name: i for i, name in enumerate(findings)}
    labels = np.zeros((len(paths), len(findings)), dtype=np.float32)
    labels[np.arange(len(paths)), [position[name] for name in classes]] = 1
    return LabelTable(
        table=label_table(paths, [None] * len(paths), labels),
        findings=findings,
        notes={"rows": len(paths)},
        given_split=pa.array([part[0] for part in parts], type=pa.string()) if by_split else None,
    )


def folder_image_index(uri: str, root: str) -> str:
    """Returns the path of an image relative to the folder that was searched."""
    return uri[len(root) :].lstrip("/")


def refuse_label_file(data: bytes, source: str) -> LabelTable:
    """Refuses a label file.

    Raises:
        UsageError: always; the labels are the folders' names.
    """
    raise UsageError(f"dataset 'folder' takes its labels from the names of folders: leave out --labels {source}")
