"""Finds images of different splits that are nearly the same, by their perceptual hashes.

The hashes are computed by Spark's tasks, 40 bytes an image; this runs on the driver. Not all pairs are compared. The
256 bits of the large hash are cut into 13 bands: two hashes that differ in 12 bits or fewer are equal in at least one
of them, so that only images with an equal band are candidates.

Radiographs are alike, and 64 bits often equal by chance: among 4,997 real ones of 64 x 64 pixels 156,314 pairs of
different patients are within six bits of the small hash, and 47 are equal. Therefore the large hash decides. Of those
pairs none is within 16 of its bits, while copies by JPEG (quality 75) or by resizing are within 12 in 99 of 100 cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.imaging.perceptual import HASH_BYTES
from cxr_spark.preparation.task import WrittenFile
from cxr_spark.tables.schema import SPLITS

#: Bits of the small and of the large hash that near-duplicates may differ in.
SMALL_BITS, LARGE_BITS = 4, 12
#: Into how many bands the large hash is cut: hashes that differ in `LARGE_BITS` bits are equal in one of them.
BANDS = LARGE_BITS + 1
#: Rows of a block of pairs that are compared at a time.
_BLOCK = 1024

PAIRS = pa.schema(
    [
        pa.field("image_index", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("other_image_index", pa.string(), nullable=False),
        pa.field("other_split", pa.string(), nullable=False),
        pa.field("bits", pa.int32(), nullable=False),  # of the 256 that differ
    ]
)
_COUNTS = np.array([bin(word).count("1") for word in range(2**16)], dtype=np.uint8)


class NearDuplicates(NamedTuple):
    """Images of different splits that are nearly the same.

    Attributes:
        pairs: the pairs, columns of `PAIRS`. Of images with equal hashes in one split only the first is named.
        images: the number of images that have a near-duplicate in another split.
    """

    pairs: pa.Table
    images: int


NO_DUPLICATES = NearDuplicates(PAIRS.empty_table(), 0)


def near_duplicates(files: Iterable[WrittenFile]) -> NearDuplicates:
    """Finds near-duplicates across splits.

    Args:
        files: written files of prepared images, with the names and hashes of these.
    """
    data = [file for file in files if file.split is not None]
    names = [name for file in data for name in file.names]
    splits = np.repeat([SPLITS.index(file.split or "") for file in data], [len(file.names) for file in data])
    if not names:
        return NO_DUPLICATES
    hashes = np.frombuffer(b"".join(file.hashes for file in data), np.uint8).reshape(-1, HASH_BYTES)
    distinct, of_image = np.unique(hashes, axis=0, return_inverse=True)
    of_image = of_image.reshape(-1)
    first = np.full((len(distinct), len(SPLITS)), -1)
    _, earliest = np.unique(of_image * len(SPLITS) + splits, return_index=True)
    first[of_image[earliest], splits[earliest]] = earliest
    there = first >= 0
    same = np.flatnonzero(there.sum(axis=1) > 1)
    near, bits = _near(distinct, there)
    left, right = np.concatenate([same, near[:, 0]]), np.concatenate([same, near[:, 1]])
    rows = list(_rows(names, first, left.tolist(), right.tolist(), [0] * len(same) + bits.tolist()))
    images = int(np.isin(of_image, np.union1d(left, right)).sum())
    return NearDuplicates(pa.Table.from_pylist(rows, schema=PAIRS), images)


def _near(distinct: NDArray[np.uint8], there: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Finds pairs of different hashes that are close and stand in different splits.

    Args:
        distinct: hashes, uint8 (n, HASH_BYTES), each once.
        there: bool (n, splits): in which splits each occurs.

    Returns:
        int64 (pairs, 2), positions of the hashes, and how many bits of the large hash differ.
    """
    small = np.ascontiguousarray(distinct[:, :8]).view(">u8").ravel().astype(np.uint64)
    large = np.ascontiguousarray(distinct[:, 8:]).view(np.uint16)
    masks = (there * (1 << np.arange(there.shape[1]))).sum(axis=1)
    found: set[tuple[int, int]] = set()
    for band in np.array_split(np.unpackbits(distinct[:, 8:], axis=1), BANDS, axis=1):
        keys = band.astype(np.int64) @ (1 << np.arange(band.shape[1]))
        order = np.argsort(keys, kind="stable")
        edges = np.flatnonzero(np.diff(keys[order], prepend=-1, append=-1))
        several = np.flatnonzero(np.diff(edges) > 1)
        for start, end in zip(edges[several].tolist(), edges[several + 1].tolist(), strict=True):
            found.update(_pairs_within(order[start:end], small, large, masks))
    pairs = np.array(sorted(found), dtype=np.int64).reshape(-1, 2)
    return pairs, _differing(large[pairs[:, 0]] ^ large[pairs[:, 1]])


def _pairs_within(
    members: NDArray[np.int64], small: NDArray[np.uint64], large: NDArray[np.uint16], masks: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    for begin in range(0, len(members) - 1, _BLOCK):
        rows, columns = members[begin : begin + _BLOCK], members[begin:]
        words = (small[rows][:, None] ^ small[columns][None]).view(np.uint16).reshape(len(rows), -1, 4)
        close = _differing(words) <= SMALL_BITS
        either = masks[rows][:, None] | masks[columns][None]
        close &= (either & (either - 1)) != 0  # more than one split
        left, right = np.nonzero(np.triu(close, 1))
        alike = _differing(large[rows[left]] ^ large[columns[right]]) <= LARGE_BITS
        for one, other in zip(rows[left[alike]].tolist(), columns[right[alike]].tolist(), strict=True):
            yield min(one, other), max(one, other)


def _differing(words: NDArray[np.uint16]) -> NDArray[np.int64]:
    counted: NDArray[np.int64] = _COUNTS[words].sum(axis=-1, dtype=np.int64)
    return counted


def _rows(
    names: Sequence[str], first: NDArray[np.int64], left: list[int], right: list[int], bits: list[int]
) -> Iterator[dict[str, Any]]:
    for one, other, differing in zip(left, right, bits, strict=True):
        for place, split in enumerate(SPLITS):
            for other_place, other_split in enumerate(SPLITS):
                if place == other_place or (one == other and place > other_place):
                    continue
                mine, its = int(first[one, place]), int(first[other, other_place])
                if mine >= 0 and its >= 0:
                    yield {
                        "image_index": names[mine],
                        "split": split,
                        "other_image_index": names[its],
                        "other_split": other_split,
                        "bits": differing,
                    }
