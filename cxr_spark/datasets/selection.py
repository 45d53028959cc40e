"""Selects labelled images: by sex, view and age, and in exact numbers for each class."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.csv_table import shorten
from cxr_spark.datasets.draws import place_in_draw
from cxr_spark.errors import ConfigError, DataError
from cxr_spark.tables.text import counted

log = logging.getLogger(__name__)

#: The name of the class of images without a finding.
NO_CLASS = "none"


@dataclass(frozen=True)
class Subset:
    """The conditions that images must meet. An image for which one of them is not known is left out.

    Attributes:
        sex: M or F; None for any.
        view_position: the wanted views; empty for any.
        age: the lowest and the highest age in years, both included; None for any.
    """

    sex: str | None = None
    view_position: Sequence[str] = ()
    age: tuple[float, float] | None = None

    def masks(self, rows: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
        """Returns, for each condition that is set, a mask of the rows that meet it."""
        masks = {}
        if self.sex is not None:
            masks["sex"] = (rows["sex"] == self.sex).to_numpy()
        if self.view_position:
            masks["view_position"] = rows["view_position"].isin(self.view_position).to_numpy()
        if self.age is not None:
            masks["age"] = rows["age"].astype(float).between(*self.age).to_numpy()
        return masks


class Selection(NamedTuple):
    """The selected images.

    Attributes:
        labels: their labels, in the order that they had.
        counts: empty where everything is selected. Else `labels`, the number of rows before; `left_out`, the number
            that was left out by `no_image` and by each condition, in the order of their use; `images`, the number of
            selected rows; and `classes`, that number by class.
    """

    labels: LabelTable
    counts: dict[str, Any]


def select(
    labels: LabelTable,
    subset: Subset,
    sample: Mapping[str, int],
    *,
    images: Collection[str],
    seed: int,
) -> Selection:
    """Selects the images that meet conditions, and draws a sample of them.

    The class of an image is its only finding, or `none` where it has no finding; an image with several findings has no
    class. The drawn images are those with the lowest hashes of seed and name.

    Args:
        labels: the labels of all images.
        subset: the conditions that images must meet.
        sample: the number of images to draw of each class; classes that are not named are left out. Empty to draw no
            sample.
        images: the `image_index` of the images that were found; others are left out.
        seed: the seed of the draw.

    Raises:
        ConfigError: `sample` names an unknown class.
        DataError: nothing is left, or a class has fewer images than are to be drawn.
    """
    _check_classes(sample, labels.findings)
    rows = labels.table.drop(["labels"]).to_pandas()
    classes = class_of_each(labels)
    keep = np.ones(len(rows), dtype=bool)
    masks = subset.masks(rows)
    if not masks and not sample:
        return Selection(labels, {})
    left_out = {}
    for name, mask in {"no_image": rows["image_index"].isin(list(images)).to_numpy(), **masks}.items():
        left_out[name] = int((keep & ~mask).sum())
        keep &= mask
    if not keep.any():
        raise DataError(f"prepare.subset leaves no image of {len(keep)}: left out by {counted(left_out)}")
    if sample:
        drawn = _drawn(rows["image_index"][keep], classes[keep], sample, seed)
        left_out["sample"] = int(keep.sum()) - len(drawn)
        keep = rows["image_index"].isin(drawn).to_numpy()
    by_class = {str(name): int(count) for name, count in classes[keep].value_counts().sort_index().items()}
    images_left = int(keep.sum())
    log.info("selected %d of %d images: %s", images_left, len(rows), counted(by_class))
    counts = {"labels": len(rows), "left_out": left_out, "images": images_left, "classes": by_class}
    return Selection(labels.filtered(keep), counts)


def class_of_each(labels: LabelTable) -> pd.Series[str]:
    """Returns the class of every row: its only finding, `none` without a finding, or null with several findings."""
    positive = np.stack(labels.table["labels"].to_numpy()) == 1
    names = np.array([*labels.findings, NO_CLASS], dtype=object)
    number = positive.sum(axis=1)
    position = np.where(number == 0, len(labels.findings), positive.argmax(axis=1))
    classes: pd.Series[str] = pd.Series(names[position]).where(number <= 1)
    return classes


def _check_classes(sample: Mapping[str, int], findings: Sequence[str]) -> None:
    unknown = set(sample) - {*findings, NO_CLASS}
    if unknown:
        raise ConfigError(
            f"prepare.sample names {shorten(min(unknown))!r}, which is no class: expected some of "
            f"{', '.join([*findings, NO_CLASS])}"
        )


def _drawn(index: pd.Series[str], classes: pd.Series[str], sample: Mapping[str, int], seed: int) -> list[str]:
    drawn: list[str] = []
    for name, count in sample.items():
        there = sorted(index[classes == name], key=lambda image: place_in_draw(seed, "sample", image))
        if len(there) < count:
            raise DataError(
                f"prepare.sample asks for {count} images of {name!r}, there are {len(there)} to draw from: lower the "
                "number, or widen prepare.subset"
            )
        drawn += there[:count]
    if not drawn:
        raise DataError("prepare.sample draws no image: give a number above 0")
    return drawn
