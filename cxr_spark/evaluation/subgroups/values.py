"""Finds the subgroups of images by sex, age and view, and their crossings."""

from __future__ import annotations

import itertools

from cxr_spark.evaluation.counting.pairs import Subgroup
from cxr_spark.evaluation.image_sets.base import ImageSet
from cxr_spark.evaluation.reading.groupings import CROSSINGS, GROUPINGS, SPLIT, crossed

#: The most subgroups of one column. Where it has more values, the most frequent ones are taken.
_MOST_VALUES = 6


def values_of(images: ImageSet, split: str | None = None) -> tuple[list[Subgroup], dict[str, int]]:
    """Finds the subgroups and the splits that occur, in one pass.

    Args:
        images: checked images.
        split: the split whose images are evaluated; None for all images.

    Returns:
        The subgroups of each grouping that has more than one value among the evaluated images (several splits are
        subgroups, too), then those of the crossings of two such groupings, and the number of images of each split.
    """
    names = (*GROUPINGS, *CROSSINGS, SPLIT)
    found: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
    for name, value, count in images.values(split):
        found[name].append((value, count))
    kept = {name: sorted(values[:_MOST_VALUES]) for name, values in found.items() if name not in CROSSINGS}
    for name, (one, other) in CROSSINGS.items():
        both = [values if len(values) > 1 else [] for values in (kept[one], kept[other])]
        wanted = {crossed(a, b) for (a, _), (b, _) in itertools.product(*both)}
        kept[name] = sorted(pair for pair in found[name] if pair[0] in wanted)
    subgroups: list[Subgroup] = []
    for name in names:
        if len(kept[name]) > 1:
            for value, count in kept[name]:
                subgroups.append(Subgroup(name, value, count, len(subgroups) + 1))
    return subgroups, dict(sorted(found[SPLIT]))
