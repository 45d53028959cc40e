"""Lists of images: what they may look like, and what is refused."""

from __future__ import annotations

import gzip

import pytest

from cxr_spark.datasets.image_lists import read_image_list
from cxr_spark.errors import DataError

NAMES = ["00000001_000.png", "00000002_000.png"]


@pytest.mark.parametrize(
    "data",
    [
        "\n".join(NAMES).encode(),
        "\r".join([*NAMES, NAMES[0], ""]).encode(),
        ("\ufeff" + "\r\n".join(NAMES)).encode("utf-16-le"),
        gzip.compress("\n\n".join(NAMES).encode(), mtime=0),
        ("Image Index\n" + "\n".join(f'"{name}"' for name in NAMES)).encode(),
        "\n".join(f"{name}," for name in NAMES).encode(),
    ],
)
def test_a_list_in_every_form(data: bytes) -> None:
    assert list(read_image_list(data, "train list")) == NAMES


@pytest.mark.parametrize("between", [",", ";", "\t", "|", " "])
def test_a_list_with_columns_is_refused(between: str) -> None:
    """Lists of other projects hold the labels, too; as whole lines they would match no image."""
    data = "\n".join([NAMES[0], between.join([NAMES[1], "0", "1", "0"])]).encode()
    with pytest.raises(DataError, match=r"train list, line 2: .* has columns; expected one image name a line"):
        read_image_list(data, "train list")


def test_blanks_within_a_name_are_part_of_it() -> None:
    assert list(read_image_list(b"chest 1 of 2.png\nmy scan 2.png", "list")) == ["chest 1 of 2.png", "my scan 2.png"]


def test_a_list_without_names_is_refused() -> None:
    with pytest.raises(DataError, match="names no image"):
        read_image_list(b"Image Index\n", "test list")
