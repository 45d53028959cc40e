"""Finds the subgroups of images by sex, age and view, to see whether a model serves all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cxr_spark.evaluation.counting.pairs import Subgroup
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
        subgroups, too), and the number of images of each split.
    """
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    of_split = F.lit(True) if split is None else F.coalesce(F.col(SPLIT) == split, F.lit(False))
    columns = (*GROUPINGS, SPLIT)
    columns_of = {name: F.col(name) if name == SPLIT else F.when(of_split, F.col(name)) for name in columns}
    pairs = F.array(*(F.struct(F.lit(name).alias("name"), value.alias("value")) for name, value in columns_of.items()))
    counted = (
        frame.select(F.explode(pairs).alias("pair"))
        .where("pair.value is not null and trim(pair.value) != ''")
        .groupBy("pair.name", "pair.value")
        .count()
        .orderBy(F.desc("count"), "name", "value")
        .limit(200)  # a column of free text must not fill the driver
        .collect()
    )
    found: dict[str, list[tuple[str, int]]] = {name: [] for name in columns}
    for name, value, count in counted:
        found[name].append((value, count))
    subgroups: list[Subgroup] = []
    for name, values in found.items():
        if len(values) > 1:
            for value, count in sorted(values[:_MOST_VALUES], key=lambda pair: pair[0]):
                subgroups.append(Subgroup(name, value, count, len(subgroups) + 1))
    return subgroups, dict(sorted(found[SPLIT]))
