"""What the manifest counts and warns of, where PNG files of 16 bits hold fewer."""

from __future__ import annotations

from typing import Any

import pytest

from cxr_spark.preparation.manifest import log_outcome, make_manifest
from cxr_spark.preparation.plan import Counts
from cxr_spark.preparation.task import WrittenFile


def manifest(white_level: int | None = None, *more: WrittenFile, notes: dict[str, int] | None = None) -> dict[str, Any]:
    counts = Counts(9, 0, 9, 9, 0, 0, 0, 9)
    files = [
        WrittenFile(f"data/split=train/{i}", "train", 3, 1, "", (1,), used_bits=bits)
        for i, bits in enumerate([{12: 2, 16: 1}, {10: 1}, {}])
    ]
    about: dict[str, Any] = {"settings": {}, "sources": {}, "notes": notes or {}, "selection": {}}
    return make_manifest(counts, [*files, *more], ["A"], **about, white_level=white_level)


def test_the_manifest_counts_dim_images() -> None:
    assert manifest()["png_16_bit_dim"] == {"10": 1, "12": 2}
    assert manifest(4095)["png_16_bit_dim"] == {}


def test_the_warning_names_number_and_setting(caplog: pytest.LogCaptureFixture) -> None:
    made = manifest()
    (warning,) = [line for line in made["warnings"] if "16 bits" in line]
    assert warning.startswith("3 PNG files of 16 bits hold values of no more than 12 bits")
    assert "--set prepare.white_level=4095" in warning
    assert not any("16 bits" in line for line in manifest(4095)["warnings"])
    with caplog.at_level("WARNING"):
        log_outcome(made)
    assert [record.getMessage() for record in caplog.records] == made["warnings"]


def test_what_was_not_understood_of_persons_is_among_the_warnings() -> None:
    notes = {"rows": 9, "sexes_unknown": 3, "view_positions_unknown": 0, "ages_over_120": 2}
    lines = [line for line in manifest(4095, notes=notes)["warnings"] if "counts as not known" in line]
    assert [line.split(" counts")[0] for line in lines] == ["the sex of 3 images", "the age of 2 images"]


def test_what_was_set_aside_and_empty_splits_are_among_the_warnings() -> None:
    aside = WrittenFile("quarantine/0", None, 3, 1, "", reasons={"corrupt": 2, "empty": 1})
    lines = manifest(4095, aside)["warnings"]
    assert [line for line in lines if line.startswith("3 images were set aside (corrupt 2, empty 1)")]
    assert [line for line in lines if line.startswith("split test is empty")]


def test_images_whose_label_is_in_doubt_are_bad() -> None:
    assert manifest()["bad_fraction"] == 0
    assert manifest(notes={"names_doubtful": 3})["bad_fraction"] == 3 / 12
