"""The stages that mirror images at random."""

from __future__ import annotations

from cxr_spark.augmentation.kinds import HorizontalFlip, VerticalFlip
from cxr_spark.spark_ml.stages.base import RandomStage


class RandomHorizontalFlip(RandomStage, kind=HorizontalFlip):
    """Mirrors each image left to right with probability `p`.

    `RandomStage` tells how random stages behave alone and in a Pipeline.
    """


class RandomVerticalFlip(RandomStage, kind=VerticalFlip):
    """Mirrors each image upside down with probability `p`.

    `RandomStage` tells how random stages behave alone and in a Pipeline.
    """
