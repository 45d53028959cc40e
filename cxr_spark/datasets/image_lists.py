"""Reads lists of images, such as the official lists of NIH's training and test images: one name a line."""

from __future__ import annotations

import io
import re

import pandas as pd

from cxr_spark.datasets.csv_rows import SEPARATORS, shorten
from cxr_spark.datasets.csv_table import INDEX_NAMES, MAX_TEXT_BYTES, spelling
from cxr_spark.datasets.text_lines import TextLines
from cxr_spark.errors import DataError

_SEPARATOR = re.compile("[" + re.escape("".join(SEPARATORS)) + "]")
#: A file name with numbers behind it, as in lists that also hold the labels: `00000001_000.png 0 1 0`.
_NAME_AND_NUMBERS = re.compile(r"\S+\.\w{2,5}(\s+[-+.0-9]+)+")


def read_image_list(data: bytes, source: str) -> pd.Index[str]:
    """Reads a list of images, plain or gzipped, in any encoding that `TextLines` knows.

    Blank lines, quotes around a name, a first line such as `Image Index`, and repeated names are accepted.

    Args:
        data: the file's bytes.
        source: the name of the list in a message.

    Returns:
        The names, each once, in the order of the file.

    Raises:
        DataError: the file is not text, names no image, or has more than one column.
    """
    lines = TextLines(io.BytesIO(data), source, MAX_TEXT_BYTES)
    names: dict[str, None] = {}
    for text in lines:
        lines.end_row()
        name = text.strip().rstrip("".join(SEPARATORS)).strip()
        if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
            name = name[1:-1].strip()
        if _SEPARATOR.search(name) or _NAME_AND_NUMBERS.fullmatch(name):
            raise DataError(
                f"{source}, line {lines.number}: {shorten(name)!r} has columns; expected one image name a line: "
                "keep the first column alone"
            )
        if name and not (not names and spelling(name) in INDEX_NAMES):
            names[name] = None
    if not names:
        raise DataError(f"{source}: names no image, expected one name a line")
    index: pd.Index[str] = pd.Index(list(names), dtype=object)
    return index
