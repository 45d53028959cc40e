"""`manifest.json` of a prepared dataset, as readers check it before they use anything of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cxr_spark.storage.typed_json import OutsideModel, RelativeName, Sha256

MANIFEST_NAME = "manifest.json"
#: The format of manifest and files that this version writes and reads.
FORMAT = 1
#: The most findings of a dataset. Class folders may have thousands.
_MAX_FINDINGS = 100_000

Count = Annotated[int, Field(ge=0, le=2**48)]


class ManifestSplit(OutsideModel):
    """One split: the number of its images."""

    images: Count


class ManifestFile(OutsideModel):
    """One file that the prepare job wrote: its name below the dataset's folder, its size in bytes, its SHA-256."""

    name: RelativeName
    bytes: Count
    sha256: Sha256 | None = None


class Manifest(OutsideModel):
    """The part of a manifest that readers use.

    Attributes:
        findings: the names of the labels, in the order of the label lists.
        size: the side of the stored images in pixels.
        splits: the counts of each split, by its name.
        files: all files that were written; None in datasets that do not name their files.
    """

    findings: Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(min_length=1, max_length=_MAX_FINDINGS)]
    size: int = Field(ge=1, le=16_384)
    splits: Annotated[dict[str, ManifestSplit], Field(min_length=1, max_length=100)]
    files: list[ManifestFile] | None = None
