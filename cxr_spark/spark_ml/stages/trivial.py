"""The stage that does one of several things to each image at random."""

from __future__ import annotations

from cxr_spark.augmentation.trivial import Trivial
from cxr_spark.spark_ml.stages.base import RandomStage


class TrivialAugment(RandomStage, kind=Trivial):
    """Does nothing, rotates, shifts, shears, or changes brightness, contrast or sharpness: one of these to each image.

    `RandomStage` tells how random stages behave alone and in a Pipeline.
    """
