"""The images that prepare set aside: how many for each reason, and some of them by name. No Spark."""

from __future__ import annotations

import hashlib
import heapq
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.errors import CxrError
from cxr_spark.imaging.decode import check_file_size
from cxr_spark.imaging.grey import WHITE_LEVEL
from cxr_spark.imaging.prepare import prepare_image
from cxr_spark.storage.store import parent_and_name
from cxr_spark.storage.uris import authority_of, scheme_of
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.quarantine import read_quarantine

log = logging.getLogger(__name__)

#: The most images of a reason that are named, and the most reasons: there are a dozen, unless somebody made the table.
MOST_OF_A_REASON, MOST_REASONS = 4, 30
#: The characters that are kept of each text, for the table may hold texts of any length: of a reason and its detail,
#: and of what names a file, which Linux opens with as many at most.
MOST_CHARACTERS, MOST_OF_A_NAME = 300, 4096


def set_aside_by_reason(dataset: PreparedDataset) -> dict[str, Any]:
    """Counts the images that were set aside, and names some for each reason.

    They are those whose URIs have the smallest SHA-256, which is a draw that is the same in every run.

    Returns:
        A JSON value: `images`, `in_manifest` (how many the manifest counts; None where it does not say), and `reasons`,
        by code, each with `images` and `examples` (a list of `image_index`, `uri` and `detail`).

    Raises:
        DataError: a file of the quarantine is damaged.
        RunError: a file cannot be read.
    """
    counts: Counter[str] = Counter()
    chosen: dict[str, list[dict[str, Any]]] = {}
    for table in read_quarantine(dataset.store, dataset.listed_files()):
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in table.to_pylist():
            rows.setdefault(row["reason"][:MOST_CHARACTERS], []).append(row)
        for reason, found in rows.items():
            counts[reason] += len(found)
            if reason in chosen or len(chosen) < MOST_REASONS:
                chosen[reason] = heapq.nsmallest(MOST_OF_A_REASON, [*chosen.get(reason, ()), *found], key=_drawn)
    return {
        "images": counts.total(),
        "in_manifest": _in_manifest(dataset),
        "reasons": {
            reason: {"images": counts[reason], "examples": list(map(_named, chosen[reason]))}
            for reason in sorted(chosen, key=lambda reason: (-counts[reason], reason))
        },
    }


def _drawn(row: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(row["uri"].encode()).digest()


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    detail = row["detail"]
    return {
        "image_index": row["image_index"][:MOST_OF_A_NAME],
        "uri": row["uri"][:MOST_OF_A_NAME],
        "detail": detail and detail[:MOST_CHARACTERS],
    }


def _in_manifest(dataset: PreparedDataset) -> int | None:
    by_reason = dataset.manifest.get("quarantined")
    if not isinstance(by_reason, dict) or not all(isinstance(n, int) for n in by_reason.values()):
        return None
    return sum(by_reason.values())


def pixels_of(uri: str, dataset: PreparedDataset, side: int) -> NDArray[np.uint8] | None:
    """Decodes an image that was set aside, where that can be done: one of two files of one name, for example.

    Only the file system that holds the prepared data is read, so a table that somebody made contacts no other host.
    Files of that one are read wherever they lie: whoever shares the page should trust who made the data.

    Args:
        uri: where the image lies.
        dataset: the prepared data.
        side: the side of the result in pixels.

    Returns:
        uint8 (side, side), with black beside an image that is not square; None where there is nothing to show.
    """
    try:
        if (scheme_of(uri), authority_of(uri)) != (scheme_of(dataset.store.uri), authority_of(dataset.store.uri)):
            return None
        store, name = parent_and_name(uri)
        size = store.size(name)
        check_file_size(size)
        if size == 0:  # a pipe or a device is not opened
            return None
        level = dataset.manifest.get("white_level")
        white_level = level if isinstance(level, int) and 0 < level <= WHITE_LEVEL else None
        return prepare_image(store.read_bytes(name, size), side, "pad", white_level).pixels
    except (CxrError, OSError, ValueError) as error:
        log.debug("no picture of %s: %s", uri, error)
        return None
