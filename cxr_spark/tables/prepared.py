"""A prepared dataset as its readers see it: the manifest, and the Parquet files of each split. No Spark."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.errors import DataError
from cxr_spark.storage.store import NotJsonError, Store
from cxr_spark.storage.typed_json import validated
from cxr_spark.tables.manifest import FORMAT, MANIFEST_NAME, Manifest, ManifestFile
from cxr_spark.tables.schema import SPLITS

#: The warning for data whose splits may share patients.
MAY_SHARE_PATIENTS = (
    "SPLITS MAY SHARE PATIENTS: prepare did not know the patients of all images, so that results on validation and "
    "test images may be too good"
)
__all__ = ["FORMAT", "MANIFEST_NAME", "PreparedDataset", "binary_images"]


@dataclass(frozen=True)
class PreparedDataset:
    """A finished output of the prepare job.

    Attributes:
        store: its folder.
        findings: the names of the labels, in the order of the label lists.
        size: the side of the stored images in pixels.
        manifest: the whole manifest.
        verify: whether the files that are read are compared with the SHA-256 in the manifest.
    """

    store: Store
    findings: tuple[str, ...]
    size: int
    manifest: dict[str, Any]
    verify: bool = True

    @classmethod
    def open(cls, uri: str, *, verify: bool = True) -> PreparedDataset:
        """Opens a prepared dataset.

        Args:
            uri: the full URI of its folder.
            verify: whether the files that are read are compared with the SHA-256 in the manifest.

        Raises:
            DataError: there is no dataset, or its manifest is not a manifest, or is of another version.
            RunError: the manifest cannot be read.
        """
        store = Store(uri)
        try:
            manifest = store.read_json(MANIFEST_NAME)
        except FileNotFoundError:
            raise DataError(
                f"{uri} is not a finished prepared dataset (no {MANIFEST_NAME}): give the --out of `cxr-spark prepare`"
            ) from None
        except NotJsonError as error:
            raise DataError(str(error)) from None
        where = store.uri_of(MANIFEST_NAME)
        if not isinstance(manifest, dict):
            raise DataError(f"{where} is not a manifest of prepared data: expected an object")
        if manifest.get("format", FORMAT) != FORMAT:
            raise DataError(
                f"{where} is of format {manifest['format']!r}, this version reads {FORMAT}: prepare the data anew, or "
                "use the version that made them"
            )
        checked = validated(Manifest, manifest, f"{where} is not a manifest of prepared data")
        return cls(store, tuple(checked.findings), checked.size, manifest, verify=verify)

    @property
    def may_share_patients(self) -> bool:
        """Whether one person may have images in several splits, because not all patients are known."""
        return self.manifest.get("splits_may_share_patients") is True

    def images(self, split: str) -> int:
        """Returns the number of images of a split that the manifest gives; 0 for a split that it does not name."""
        return int(self.manifest["splits"].get(split, {}).get("images", 0))

    def files(self, split: str) -> list[str]:
        """Lists the Parquet files of a split, by their names in the store.

        These are the files that the manifest names; where it names none, all files in the folder of the split.

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
        expected = {name: file.bytes for name, file in self._listed.items() if name.startswith(f"{folder}/")}
        if self._lists_files:
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

    def listed_files(self) -> frozenset[str] | None:
        """Returns all files that the manifest names, those of the quarantine, too; None where it names no files."""
        return frozenset(self._listed) if self._lists_files else None

    def sha256(self, name: str) -> str | None:
        """Returns the SHA-256 that the bytes of a file must have; None where it is unknown or is not to be compared."""
        file = self._listed.get(name)
        return file.sha256 if file is not None and self.verify else None

    @property
    def _lists_files(self) -> bool:
        return isinstance(self.manifest.get("files"), list)

    @functools.cached_property
    def _listed(self) -> dict[str, ManifestFile]:
        files = self.manifest["files"] if self._lists_files else []
        return {file["name"]: ManifestFile.model_validate(file) for file in files}


def _is_visible(name: str) -> bool:
    return name.endswith(".parquet") and not any(part.startswith((".", "_")) for part in name.split("/"))


def binary_images(pixels: pa.BinaryArray | pa.ChunkedArray, side: int | None = None) -> NDArray[np.uint8]:
    """Returns a binary column of square images as an array, without copying it unless it has several chunks.

    Args:
        pixels: the column, one image in each value.
        side: the side that the images must have, in pixels; None where any side is right.

    Returns:
        uint8 (rows, S, S), where S is `side` if that is given.

    Raises:
        ValueError: the images are not square, not of one size, or not of the size that is asked for.
    """
    if isinstance(pixels, pa.ChunkedArray):
        pixels = pixels.chunk(0) if pixels.num_chunks == 1 else pixels.combine_chunks()
    offsets = np.frombuffer(pixels.buffers()[1], np.int32)[pixels.offset : pixels.offset + len(pixels) + 1]
    sizes = np.unique(np.diff(offsets))
    found = math.isqrt(int(sizes[0])) if len(sizes) == 1 else 0
    whole = not pixels.null_count and found > 0 and found * found == int(sizes[0])
    if side is not None and not (whole and found == side):
        raise ValueError(f"its images are not {side} x {side} pixels, as the manifest says")
    if not whole:
        raise ValueError("its images are not square and of one size")
    data = np.frombuffer(pixels.buffers()[2], np.uint8)[offsets[0] : offsets[-1]]
    return data.reshape(len(pixels), found, found)
