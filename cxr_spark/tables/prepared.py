"""A prepared dataset as its readers see it: the manifest, and the Parquet files of each split. No Spark."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.errors import DataError, RunError
from cxr_spark.storage.store import Store
from cxr_spark.tables.schema import SPLITS

MANIFEST_NAME = "manifest.json"
#: The format of manifest and files that this version reads.
FORMAT = 1


@dataclass(frozen=True)
class PreparedDataset:
    """A finished output of the prepare job.

    Attributes:
        store: its folder.
        findings: names of the labels, in the order of the label column.
        size: side of the stored images, pixels.
        manifest: the whole manifest.
    """

    store: Store
    findings: tuple[str, ...]
    size: int
    manifest: dict[str, Any]

    @classmethod
    def open(cls, uri: str) -> PreparedDataset:
        """Opens a prepared dataset.

        Raises:
            DataError: there is none, or its manifest is not one, or is of another version.
        """
        store = Store(uri)
        try:
            manifest = store.read_json(MANIFEST_NAME)
        except FileNotFoundError:
            raise DataError(
                f"{uri} is not a finished prepared dataset (no {MANIFEST_NAME}): give the --out of `cxr-spark prepare`"
            ) from None
        except RunError as error:
            raise DataError(str(error)) from None
        where = store.uri_of(MANIFEST_NAME)
        if not isinstance(manifest, dict):
            raise DataError(f"{where} is not a manifest of prepared data: expected an object")
        if manifest.get("format", FORMAT) != FORMAT:
            raise DataError(
                f"{where} is of format {manifest['format']!r}, this version reads {FORMAT}: prepare the data anew, or "
                "use the version that made them"
            )
        findings, size, splits = (manifest.get(name) for name in ("findings", "size", "splits"))
        if not isinstance(findings, list) or not findings or not all(isinstance(name, str) for name in findings):
            raise DataError(f"{where}: 'findings' is {findings!r}: expected a list of names")
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise DataError(f"{where}: 'size' is {size!r}: expected pixels")
        if not isinstance(splits, dict) or not splits or not all(map(_is_split, splits.values())):
            raise DataError(f"{where}: 'splits' is not an object of splits with their number of images")
        return cls(store, tuple(findings), size, manifest)

    def images(self, split: str) -> int:
        """Returns the number of images of a split, by the manifest."""
        return int(self.manifest["splits"].get(split, {}).get("images", 0))

    def files(self, split: str) -> list[str]:
        """Lists the Parquet files of a split, by their names in the store.

        Where the manifest names its files, only those count; otherwise all that are there.

        Raises:
            DataError: no such split, or a file is gone or cut short.
        """
        if split not in SPLITS:
            raise DataError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
        folder = f"data/split={split}"
        try:
            there = {info.name: info.size for info in self.store.files(folder) if _is_visible(info.name)}
        except FileNotFoundError:
            there = {}
        listed = self.manifest.get("files")
        if isinstance(listed, list):
            expected = {
                file["name"]: file.get("bytes")
                for file in listed
                if isinstance(file, dict) and str(file.get("name")).startswith(f"{folder}/")
            }
            for name, size in expected.items():
                if there.get(name, -1) != size:
                    raise DataError(
                        f"{self.store.uri_of(name)} is {'damaged' if name in there else 'gone'}: prepare the data "
                        "again with --overwrite"
                    )
            return sorted(expected)
        if not there and self.images(split):
            raise DataError(
                f"{self.store.uri} has lost the files of split {split!r}: prepare it again with --overwrite"
            )
        return sorted(there)


def _is_split(value: object) -> bool:
    images = value.get("images") if isinstance(value, dict) else None
    return isinstance(images, int) and not isinstance(images, bool) and images >= 0


def _is_visible(name: str) -> bool:
    return name.endswith(".parquet") and not any(part.startswith((".", "_")) for part in name.split("/"))


def binary_images(pixels: pa.BinaryArray) -> NDArray[np.uint8]:
    """Views a binary column of square images as uint8 (rows, S, S), without copying.

    Raises:
        ValueError: they are not square and of one size.
    """
    offsets = np.frombuffer(pixels.buffers()[1], np.int32)[pixels.offset : pixels.offset + len(pixels) + 1]
    sizes = np.unique(np.diff(offsets))
    side = math.isqrt(int(sizes[0])) if len(sizes) == 1 else 0
    if pixels.null_count or side == 0 or side * side != int(sizes[0]):
        raise ValueError("its images are not square and of one size")
    data = np.frombuffer(pixels.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    return data.reshape(len(pixels), side, side)
