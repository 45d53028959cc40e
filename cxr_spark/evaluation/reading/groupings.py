"""By what images are put into subgroups."""

from __future__ import annotations

import itertools

import pyarrow as pa

#: The columns whose values make subgroups of images; `age_band` is made from `age`.
GROUPINGS = ("sex", "age_band", "view_position")
#: The column with the split of an image, which makes subgroups, too.
SPLIT = "split"
#: The crossings of two groupings, by name.
CROSSINGS = {f"{one} x {other}": (one, other) for one, other in itertools.combinations(GROUPINGS, 2)}


def crossed(one: str, other: str) -> str:
    """Returns the value of a crossing.

    >>> crossed("F", "20-39")
    'F, 20-39'
    """
    return f"{one}, {other}"


def values_in(images: pa.Table, grouping: str) -> list[str | None]:
    """Returns the value of each image in a grouping or crossing; None where it is not known."""
    if grouping not in CROSSINGS:
        return list(images.column(grouping).to_pylist())
    one, other = (images.column(name).to_pylist() for name in CROSSINGS[grouping])
    return [None if a is None or b is None else crossed(a, b) for a, b in zip(one, other, strict=True)]
