"""Images of different splits that are nearly the same."""

from __future__ import annotations

import time
from itertools import combinations

import cv2
import numpy as np
import pytest
from PIL import Image

from cxr_spark.imaging.perceptual import HASH_BYTES, both_hashes, dhash
from cxr_spark.preparation.near_duplicates import LARGE_BITS, SMALL_BITS, near_duplicates
from cxr_spark.preparation.task import WrittenFile

RNG = np.random.default_rng(8)


def file(split: str, hashes: dict[str, bytes]) -> WrittenFile:
    return WrittenFile(split, split, len(hashes), 0, "", names=tuple(hashes), hashes=b"".join(hashes.values()))


def picture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    return cv2.resize(noise, (64, 64), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("side", [8, 16])
def test_the_hash_is_the_published_one(side: int) -> None:
    """As in the library imagehash: (side + 1) x side pixels, right > left, row by row, first bit highest."""
    image = picture(1)
    small = Image.fromarray(image).resize((side + 1, side), Image.Resampling.LANCZOS)
    text = "".join(
        str(int(small.getpixel((x + 1, y)) > small.getpixel((x, y)))) for y in range(side) for x in range(side)
    )
    assert dhash(image, side).hex() == f"{int(text, 2):0{side * side // 4}x}"
    rising = np.tile(np.arange(0, 240, 3, dtype=np.uint8), (80, 1))
    assert dhash(rising, side) == b"\xff" * (side * side // 8)
    assert dhash(rising[:, ::-1].copy(), side) == bytes(side * side // 8)


def test_copies_are_found_and_named_whatever_was_done_to_them() -> None:
    train = {f"t{i}": picture(i) for i in range(30)}
    jpeg = cv2.imdecode(cv2.imencode(".jpg", train["t3"], [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_GRAYSCALE)
    test = {"same": train["t1"], "jpeg": jpeg, **{f"o{i}": picture(100 + i) for i in range(30)}}
    within = {"again": train["t1"]}  # a copy in the same split is none across splits
    files = [
        file("train", {name: both_hashes(image) for name, image in {**train, **within}.items()}),
        file("test", {name: both_hashes(image) for name, image in test.items()}),
    ]
    found = near_duplicates(files)
    pairs = {(row["image_index"], row["other_image_index"]) for row in found.pairs.to_pylist()}
    assert {tuple(sorted(pair)) for pair in pairs} == {("same", "t1"), ("jpeg", "t3")}
    assert found.images == 5  # t1, again and same; t3 and jpeg
    assert {(row["split"], row["other_split"]) for row in found.pairs.to_pylist()} <= {
        ("train", "test"),
        ("test", "train"),
    }


def distance(one: bytes, other: bytes) -> int:
    return bin(int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).count("1")


def test_bands_find_all_that_a_comparison_of_all_pairs_finds() -> None:
    base = RNG.integers(0, 256, (40, HASH_BYTES), dtype=np.uint8)
    hashes: dict[str, bytes] = {}
    for i in range(240):
        bits = np.unpackbits(base[i % 40])
        flips = np.concatenate([RNG.choice(64, i % 7, False), 64 + RNG.choice(256, i % 16, False)])
        bits[flips] ^= 1
        hashes[f"i{i:03d}"] = np.packbits(bits).tobytes()
    split = {name: ("train", "val", "test")[i % 3] for i, name in enumerate(hashes)}
    files = [file(s, {n: h for n, h in hashes.items() if split[n] == s}) for s in ("train", "val", "test")]
    expected = {
        (a, b)
        for a, b in combinations(hashes, 2)
        if split[a] != split[b]
        and distance(hashes[a][:8], hashes[b][:8]) <= SMALL_BITS
        and distance(hashes[a][8:], hashes[b][8:]) <= LARGE_BITS
    }
    rows = near_duplicates(files).pairs.to_pylist()
    assert {tuple(sorted((row["image_index"], row["other_image_index"]))) for row in rows} == expected
    assert len(expected) > 50
    for row in rows:
        assert row["bits"] == distance(hashes[row["image_index"]][8:], hashes[row["other_image_index"]][8:])


def test_nothing_is_found_among_no_images() -> None:
    assert near_duplicates([]).images == 0
    black = bytes(HASH_BYTES)
    many = [file(s, {f"{s}{i}": black for i in range(5000)}) for s in ("train", "test")]
    started = time.monotonic()
    found = near_duplicates(many)
    assert (found.images, found.pairs.num_rows) == (10_000, 1)  # black images stand for each other
    assert time.monotonic() - started < 20
