"""Counts the curves of the validation images, on which thresholds are chosen before other images are looked at."""

from __future__ import annotations

from typing import NamedTuple

from cxr_spark.evaluation.counting.distributed import curves_of
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.image_sets.base import ImageSet
from cxr_spark.tables.schema import VALIDATION


class HeldOut(NamedTuple):
    """The validation images of an evaluation of other images.

    Attributes:
        images: checked images, all with labels.
        n_images: the number of images.
    """

    images: ImageSet
    n_images: int


def held_out_images(labelled: ImageSet, split: str | None) -> HeldOut | None:
    """Returns the validation images, where they are not what is evaluated.

    Args:
        labelled: checked images of any split, all with labels.
        split: the split that is evaluated; None for all images.

    Returns:
        None where all images or the validation split itself are evaluated, or there are no validation images.
    """
    if split in (None, VALIDATION):
        return None
    images = labelled.of_split(VALIDATION)
    n_images = images.count()
    return HeldOut(images, n_images) if n_images else None


def validation_curves(held_out: HeldOut, n_findings: int) -> list[Curve | None]:
    """Returns the curve of each finding on the validation images; None where no label is known there."""
    images, n_images = held_out
    curves = curves_of(images, n_images=n_images, n_findings=n_findings, subgroups=(), replicates=0, seed=0)
    return [curves.get(number) for number in range(n_findings)]
