"""The stage that rotates, shifts, shears and zooms images at random."""

from __future__ import annotations

from cxr_spark.augmentation.kinds import Affine
from cxr_spark.spark_ml.stages.base import RandomStage


class RandomAffine(RandomStage, kind=Affine):
    """Rotates, shifts, shears and zooms each image about its centre, in one bilinear step; outside it is black.

    `RandomStage` tells how random stages behave alone and in a Pipeline.
    """
