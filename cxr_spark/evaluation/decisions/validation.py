"""Counts the curves of the validation images, on which thresholds are chosen before other images are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cxr_spark.evaluation.counting.distributed import curves_of
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.reading.images import SPLIT
from cxr_spark.tables.schema import VALIDATION

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def held_out_images(labelled: DataFrame, split: str | None) -> DataFrame | None:
    """Returns the validation images, where they are not what is evaluated.

    Args:
        labelled: rows of `images.IMAGES` of any split, all with labels.
        split: the split that is evaluated; None for all images.

    Returns:
        None where all images or the validation split itself are evaluated, or there are no validation images.
    """
    if split in (None, VALIDATION):
        return None
    held_out = labelled.where(labelled[SPLIT] == VALIDATION)
    return None if held_out.isEmpty() else held_out


def validation_curves(held_out: DataFrame, n_findings: int) -> list[Curve | None]:
    """Returns the curve of each finding on the validation images; None where no label is known there."""
    n_images = held_out.count()
    curves = curves_of(held_out, n_images=n_images, n_findings=n_findings, subgroups=(), replicates=0, seed=0)
    return [curves.get(number) for number in range(n_findings)]
