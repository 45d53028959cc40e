"""Builds `manifest.json` of a prepared dataset: what was read, what was written, and what was left out."""

from __future__ import annotations

import logging
import platform
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import cv2
import isal
import numpy as np
import pyarrow as pa
import pyspark

from cxr_spark import __version__
from cxr_spark.datasets.joining import DOUBTFUL
from cxr_spark.preparation.near_duplicates import NO_DUPLICATES, NearDuplicates
from cxr_spark.preparation.plan import Counts
from cxr_spark.preparation.task import WrittenFile
from cxr_spark.preparation.warnings import (
    of_counts,
    of_dicom,
    of_dim_images,
    of_facts,
    of_near_duplicates,
    of_quarantine,
    of_splits,
)
from cxr_spark.tables.manifest import FORMAT
from cxr_spark.tables.schema import SPLITS
from cxr_spark.tables.text import counted

log = logging.getLogger(__name__)

__all__ = ["FORMAT", "log_outcome", "make_manifest", "quarantined"]


def make_manifest(
    counts: Counts,
    files: Sequence[WrittenFile],
    findings: Sequence[str],
    *,
    settings: Mapping[str, Any],
    sources: Mapping[str, Any],
    notes: Mapping[str, int],
    selection: Mapping[str, Any],
    ignored: Mapping[str, Any] | None = None,
    white_level: int | None = None,
    warnings: Sequence[str] = (),
    alike: NearDuplicates = NO_DUPLICATES,
) -> dict[str, Any]:
    """Builds the manifest.

    Args:
        counts: how many files and labels belong together.
        files: everything that was written.
        findings: the label order.
        settings: `size`, `resize`, `seed` and what else decided the result; they stand at the manifest's top level.
        sources: URIs of what was read, by kind.
        notes: what was dropped or changed in the labels, by kind.
        selection: counts of subset and sample; empty where all was taken.
        warnings: what was guessed or lost before any image was read, in words; what the counts tell is added.
        ignored: what the search for images left aside; stands at the manifest's top level.
        white_level: the setting; None where 16-bit values were taken as they are.
        alike: images of different splits that are nearly the same.

    Returns:
        A JSON value: `format`, `created`; the counts of `plan.Counts`; `prepared`; `quarantined` (images by reason);
        `png_16_bit_dim` (PNGs of 16 bits that leave the highest ones unused, by the bits that they need);
        `dicom_doubtful` (DICOM images that were taken though they may be no frontal chest radiographs, by reason);
        `near_duplicates` (images that are nearly the same as one in another split, and the pairs of these);
        `bad_fraction` (labelled images of a split that were not prepared, of all those with a file; images whose label
        is in doubt are among both); `splits` (of each its `images`, `patients` and images with each of the
        `findings`); `findings` (the label order); the settings; `sources`; `notes`; `selection`; `warnings` (what an
        operator should know, in words); `bytes`; `files` (name, rows, bytes and SHA-256 of all that was written);
        `versions`.
    """
    data = [file for file in files if file.split is not None]
    met = asdict(counts)
    wanted = met.pop("wanted") + notes.get(DOUBTFUL, 0)
    prepared = sum(file.rows for file in data)
    rejected = quarantined(files)
    dim = {} if white_level is not None else _dim(data)
    doubtful = _added(file.doubts for file in data)
    splits = {split: _split(split, data, findings) for split in SPLITS}
    return {
        "format": FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **met,
        **(ignored or {}),
        "prepared": prepared,
        "quarantined": rejected,
        "png_16_bit_dim": dim,
        "dicom_doubtful": doubtful,
        "near_duplicates": {"pairs": alike.pairs.num_rows, "images": alike.images},
        "bad_fraction": (wanted - prepared) / wanted,
        "splits": splits,
        "findings": list(findings),
        **settings,
        "sources": dict(sources),
        "notes": dict(notes),
        "warnings": [
            *warnings,
            *of_counts(counts),
            *of_facts(notes),
            *of_quarantine(rejected),
            *of_dim_images(dim),
            *of_dicom(doubtful),
            *of_near_duplicates(alike),
            *of_splits(splits),
        ],
        "selection": dict(selection),
        "bytes": sum(file.bytes for file in data),
        "files": [
            {"name": file.name, "rows": file.rows, "bytes": file.bytes, "sha256": file.sha256}
            for file in sorted(files, key=lambda file: file.name)
        ],
        "versions": {
            "cxr_spark": __version__,
            "python": platform.python_version(),
            "pyspark": pyspark.__version__,
            "pyarrow": pa.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "isal": isal.__version__,
        },
    }


def _dim(files: Iterable[WrittenFile]) -> dict[str, int]:
    """Returns the number of PNGs of 16 bits whose values leave the highest bit unused, by the bits that they need."""
    counted: Counter[int] = Counter()
    for file in files:
        counted.update(file.used_bits)
    return {str(bits): count for bits, count in sorted(counted.items()) if 0 < bits < 16}


def quarantined(files: Iterable[WrittenFile]) -> dict[str, int]:
    """Returns the number of quarantined images by reason."""
    return _added(file.reasons for file in files)


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def _split(split: str, files: Sequence[WrittenFile], findings: Sequence[str]) -> dict[str, Any]:
    own = [file for file in files if file.split == split]
    positives = [sum(column) for column in zip(*(file.positives for file in own), strict=True)] or [0] * len(findings)
    return {
        "images": sum(file.rows for file in own),
        "patients": len(frozenset().union(*(file.patients for file in own))),
        "findings": dict(zip(findings, positives, strict=True)),
    }


def log_outcome(manifest: Mapping[str, Any]) -> None:
    """Says what an operator should know even of a run that went well."""
    images = {split: counts["images"] for split, counts in manifest["splits"].items()}
    log.info("splits: %s", counted(images))
    if manifest["quarantined"]:
        reasons = counted(manifest["quarantined"])
        log.info("quarantined: %s", reasons)
    for warning in manifest["warnings"]:
        log.warning("%s", warning)
