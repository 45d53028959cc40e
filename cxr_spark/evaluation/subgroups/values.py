"""Finds the subgroups of images by sex, age and view, and their crossings."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from cxr_spark.evaluation.counting.pairs import CROSSINGS, Subgroup, crossed
from cxr_spark.evaluation.reading.images import GROUPINGS, SPLIT

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: The most subgroups of one column. Where it has more values, the most frequent ones are taken.
_MOST_VALUES = 6


def values_of(frame: DataFrame, split: str | None = None) -> tuple[list[Subgroup], dict[str, int]]:
    """Finds the subgroups and the splits that occur, in one pass.

    Args:
        frame: rows of `images.IMAGES`.
        split: the split whose images are evaluated; None for all images.

    Returns:
        The subgroups of each grouping that has more than one value among the evaluated images (several splits are
        subgroups, too), then those of the crossings of two such groupings, and the number of images of each split.
    """
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    of_split = F.lit(True) if split is None else F.coalesce(F.col(SPLIT) == split, F.lit(False))
    columns_of = {name: F.when(of_split, F.col(name)) for name in GROUPINGS}
    for name, (one, other) in CROSSINGS.items():  # null where either is
        columns_of[name] = F.concat(columns_of[one], F.lit(", "), columns_of[other])
    columns_of[SPLIT] = F.col(SPLIT)
    pairs = F.array(*(F.struct(F.lit(name).alias("name"), value.alias("value")) for name, value in columns_of.items()))
    counted = (
        frame.select(F.explode(pairs).alias("pair"))
        .where("pair.value is not null and trim(pair.value) != ''")
        .groupBy("pair.name", "pair.value")
        .count()
        .orderBy(F.desc("count"), "name", "value")
        .limit(400)  # a column of free text must not fill the driver
        .collect()
    )
    found: dict[str, list[tuple[str, int]]] = {name: [] for name in columns_of}
    for name, value, count in counted:
        found[name].append((value, count))
    kept = {name: sorted(values[:_MOST_VALUES]) for name, values in found.items() if name not in CROSSINGS}
    for name, (one, other) in CROSSINGS.items():
        both = [values if len(values) > 1 else [] for values in (kept[one], kept[other])]
        wanted = {crossed(a, b) for (a, _), (b, _) in itertools.product(*both)}
        kept[name] = sorted(pair for pair in found[name] if pair[0] in wanted)
    subgroups: list[Subgroup] = []
    for name in columns_of:
        if len(kept[name]) > 1:
            for value, count in kept[name]:
                subgroups.append(Subgroup(name, value, count, len(subgroups) + 1))
    return subgroups, dict(sorted(found[SPLIT]))
