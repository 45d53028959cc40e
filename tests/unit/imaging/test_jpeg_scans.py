"""The check of JPEG codes: whole files of many kinds pass, cut and damaged ones do not."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from cxr_spark.imaging.jpeg_scans import check_scans
from cxr_spark.imaging.rejected import ImageRejected

RNG = np.random.default_rng(17)
DEEP = np.clip(np.linspace(0, 4000, 61 * 67).reshape(61, 67) + RNG.integers(0, 200, (61, 67)), 0, 4095).astype(
    np.uint16
)
GREY = (DEEP // 16).astype(np.uint8)


def by_pillow(mode: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(GREY).convert(mode).save(buffer, "JPEG", quality=92, **options)
    return buffer.getvalue()


FILES = {
    **{
        f"{mode} {options}": by_pillow(mode, **options)
        for mode in ("L", "RGB", "CMYK")
        for options in (
            {},
            {"subsampling": 0},
            {"subsampling": 1},
            {"subsampling": 2},
            {"restart_marker_blocks": 1},
            {"restart_marker_rows": 1},
            {"optimize": True},
        )
    },
    "12 bits": imagecodecs.jpeg8_encode(DEEP, level=95, bitspersample=12),
    "lossless 8": imagecodecs.jpeg8_encode(GREY, lossless=True, predictor=1),
    "lossless 16": imagecodecs.jpeg8_encode(DEEP * np.uint16(15), lossless=True, predictor=1, bitspersample=16),
    "lossless colours": imagecodecs.jpeg8_encode(np.dstack([GREY] * 3), lossless=True, predictor=4),
    "lossless by liblj92": imagecodecs.ljpeg_encode(DEEP, bitspersample=12),
    **{
        f"lossless {number}": imagecodecs.jpeg8_encode(DEEP, lossless=True, predictor=number, bitspersample=12)
        for number in range(1, 8)
    },
}


@pytest.mark.parametrize("name", FILES)
def test_whole_files_pass_and_cut_ones_do_not(name: str) -> None:
    whole = FILES[name]
    check_scans(whole)
    check_scans(whole[:-2] + b"\xff" * 9 + whole[-2:] + b"bytes after the end")
    scan = whole.index(b"\xff\xda") + 14
    for end in np.linspace(scan, len(whole) - 12, 57).astype(int):
        cut = whole[:end].rstrip(b"\xff")
        if cut[-2:-1] != b"\xff":  # a cut right behind a restart marker
            with pytest.raises(ImageRejected, match="damaged JPEG"):
                check_scans(cut + b"\xff\xd9")


@pytest.mark.parametrize("name", FILES)
def test_data_that_go_on_are_damage(name: str) -> None:
    with pytest.raises(ImageRejected, match="go on after the image"):
        check_scans(FILES[name][:-2] + b"\x12\x34\x56" + b"\xff\xd9")


@pytest.mark.parametrize("name", FILES)
def test_random_damage_never_crashes(name: str) -> None:
    refused = 0
    for _ in range(100):
        damaged = bytearray(FILES[name])
        for position in RNG.integers(2, len(damaged), 3):
            damaged[position] = RNG.integers(256)
        try:
            check_scans(bytes(damaged))
        except ImageRejected:
            refused += 1
    assert refused > 20
