"""What the manifest counts and warns of, where PNG files of 16 bits hold fewer."""

from __future__ import annotations

import pytest

from cxr_spark.preparation.manifest import _warn_of_dim_images, make_manifest
from cxr_spark.preparation.plan import Counts
from cxr_spark.preparation.task import WrittenFile


def manifest(white_level: int | None = None) -> dict[str, object]:
    counts = Counts(9, 0, 9, 9, 0, 0, 0, 9)
    files = [
        WrittenFile(f"data/split=train/{i}", "train", 3, 1, "", (1,), used_bits=bits)
        for i, bits in enumerate([{12: 2, 16: 1}, {10: 1}, {}])
    ]
    return make_manifest(
        counts, files, ["A"], settings={}, sources={}, notes={}, selection={}, white_level=white_level
    )  # fmt: skip


def test_the_manifest_counts_dim_images() -> None:
    assert manifest()["png_16_bit_dim"] == {"10": 1, "12": 2}
    assert manifest(4095)["png_16_bit_dim"] == {}


def test_the_warning_names_number_and_setting(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        _warn_of_dim_images({"10": 1, "12": 2})
        _warn_of_dim_images({})
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("3 PNG files of 16 bits hold values of no more than 12 bits")
    assert "--set prepare.white_level=4095" in warning
