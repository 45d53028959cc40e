"""Takes a part of the labelled images: by sex, view and age, and in exact numbers by class."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.csv_table import shorten
from cxr_spark.errors import ConfigError, DataError

log = logging.getLogger(__name__)

#: The class of images without a finding.
NO_CLASS = "none"


@dataclass(frozen=True)
class Subset:
    """The condition that images must meet. An image for which this is not known is left out.

    Attributes:
        sex: M or F; None for any.
        view_position: views; none for any.
        age: lowest and highest, years, both included; None for any.
    """

    sex: str | None = None
    view_position: Sequence[str] = ()
    age: tuple[float, float] | None = None

    def masks(self, rows: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
        """Returns which rows meet each condition that there is."""
        masks = {}
        if self.sex is not None:
            masks["sex"] = (rows["sex"] == self.sex).to_numpy()
        if self.view_position:
            masks["view_position"] = rows["view_position"].isin(self.view_position).to_numpy()
        if self.age is not None:
            masks["age"] = rows["age"].astype(float).between(*self.age).to_numpy()
        return masks


class Selection(NamedTuple):
    """What is taken.

    Attributes:
        labels: its labels, rows in the order that they had.
        counts: empty where everything was taken. Else `labels` (rows before), `left_out` (by `no_image` and each
            condition, in the order of their use), `images` (rows after) and `classes` (rows after by class).
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
    """Takes the images of a subset, and draws from them.

    Every image belongs to the class that is its only finding, to `none` without a finding, or to no class at all with
    several. Images are drawn by the order of a hash of seed and name.

    Args:
        labels: the labels of all images.
        subset: the condition that images must meet.
        sample: how many to draw of each class; classes that are not named are left out. Empty: no draw.
        images: `image_index` of the images that there are; only these count and are drawn.
        seed: seed of the draw.

    Raises:
        ConfigError: `sample` names a class that there is not.
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
        raise DataError(f"prepare.subset leaves no image of {len(keep)}: left out by {_told(left_out)}")
    if sample:
        drawn = _drawn(rows["image_index"][keep], classes[keep], sample, seed)
        left_out["sample"] = int(keep.sum()) - len(drawn)
        keep = rows["image_index"].isin(drawn).to_numpy()
    by_class = {str(name): int(count) for name, count in classes[keep].value_counts().sort_index().items()}
    images_left = int(keep.sum())
    log.info("selected %d of %d images: %s", images_left, len(rows), _told(by_class))
    counts = {"labels": len(rows), "left_out": left_out, "images": images_left, "classes": by_class}
    return Selection(labels.filtered(keep), counts)


def class_of_each(labels: LabelTable) -> pd.Series[str]:
    """Returns the class of every row: its only finding, `none`, or a null where there are several."""
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
    def rank(image: str) -> bytes:
        return hashlib.blake2b(f"{seed} sample {image}".encode(), digest_size=16).digest()

    drawn: list[str] = []
    for name, count in sample.items():
        there = sorted(index[classes == name], key=rank)
        if len(there) < count:
            raise DataError(
                f"prepare.sample asks for {count} images of {name!r}, there are {len(there)} to draw from: lower the "
                "number, or widen prepare.subset"
            )
        drawn += there[:count]
    if not drawn:
        raise DataError("prepare.sample draws no image: give a number above 0")
    return drawn


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
