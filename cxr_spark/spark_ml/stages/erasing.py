"""The stage that paints over a box of each image at random."""

from __future__ import annotations

from cxr_spark.augmentation.erasing import Erasing
from cxr_spark.spark_ml.stages.base import RandomStage


class RandomErasing(RandomStage, kind=Erasing):
    """Paints over a box of random area, shape and place, in each image with probability p.

    `RandomStage` tells how random stages behave alone and in a Pipeline.
    """
