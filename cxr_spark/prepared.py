"""A prepared dataset as its readers see it: the manifest, and the Parquet files of each split. No Spark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cxr_spark.errors import DataError
from cxr_spark.schema import SPLITS
from cxr_spark.storage import Store

MANIFEST_NAME = "manifest.json"


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
            DataError: there is none, or its manifest is not one.
        """
        store = Store(uri)
        try:
            manifest = store.read_json(MANIFEST_NAME)
        except FileNotFoundError:
            raise DataError(
                f"{uri} is not a finished prepared dataset (no {MANIFEST_NAME}): give the --out of `cxr-spark prepare`"
            ) from None
        try:
            findings = tuple(str(name) for name in manifest["findings"])
            size = int(manifest["size"])
            images = {split: int(manifest["splits"][split]["images"]) for split in manifest["splits"]}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{store.uri_of(MANIFEST_NAME)} is not a manifest of prepared data: {error!r}") from None
        if not findings or size < 1 or not images:
            raise DataError(f"{store.uri_of(MANIFEST_NAME)} names no findings, no size or no splits")
        return cls(store, findings, size, manifest)

    def images(self, split: str) -> int:
        """Returns the number of images of a split, by the manifest."""
        return int(self.manifest["splits"].get(split, {}).get("images", 0))

    def files(self, split: str) -> list[str]:
        """Lists the Parquet files of a split, by their names in the store.

        Raises:
            DataError: no such split, or the manifest promises images and there is no file.
        """
        if split not in SPLITS:
            raise DataError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
        try:
            names = [
                info.name
                for info in self.store.files(f"data/split={split}")
                if info.name.endswith(".parquet") and not info.name.rpartition("/")[2].startswith((".", "_"))
            ]
        except FileNotFoundError:
            names = []
        if not names and self.images(split):
            raise DataError(
                f"{self.store.uri} has lost the files of split {split!r}: prepare it again with --overwrite"
            )
        return names
