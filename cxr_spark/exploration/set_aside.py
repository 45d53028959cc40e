"""The images that prepare set aside: how many for each reason, and some of them by name. No Spark."""

from __future__ import annotations

import hashlib
import heapq
import logging
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
#: The characters that are kept of each text, for the table may hold texts of any length.
MOST_CHARACTERS = 300


def set_aside_by_reason(dataset: PreparedDataset) -> dict[str, Any]:
    """Counts the images that were set aside, and names some for each reason.

    They are those whose URIs have the smallest SHA-256, which is a draw that is the same in every run.

    Returns:
        A JSON value: `images`, `told` (how many the manifest counts; None where it does not say), and `reasons`, by
        code, each with `images` and `examples` (a list of `image_index`, `uri` and `detail`).

    Raises:
        DataError: a file of the quarantine is damaged.
        RunError: a file cannot be read.
    """
    counts: dict[str, int] = {}
    chosen: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
    number = 0
    for table in read_quarantine(dataset.store, dataset.quarantine_files()):
        for row in table.to_pylist():
            reason = row["reason"][:MOST_CHARACTERS]
            counts[reason] = counts.get(reason, 0) + 1
            if reason not in chosen and len(chosen) >= MOST_REASONS:
                continue
            number += 1
            image = {key: value for key, value in row.items() if key != "reason"}
            # The largest of those that are kept is first in a heap of negated numbers.
            place = -int.from_bytes(hashlib.sha256(row["uri"].encode()).digest(), "big")
            kept = chosen.setdefault(reason, [])
            push = heapq.heappush if len(kept) < MOST_OF_A_REASON else heapq.heappushpop
            push(kept, (place, -number, image))
    told = dataset.manifest.get("quarantined")
    whole = isinstance(told, dict) and all(isinstance(n, int) for n in told.values())
    return {
        "images": sum(counts.values()),
        "told": sum(told.values()) if isinstance(told, dict) and whole else None,
        "reasons": {
            reason: {"images": counts[reason], "examples": [image for *_, image in sorted(kept, reverse=True)]}
            for reason, kept in sorted(chosen.items(), key=lambda each: (-counts[each[0]], each[0]))
        },
    }


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
