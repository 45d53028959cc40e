"""The stage that makes images brighter or darker at random."""

from __future__ import annotations

from cxr_spark.augmentation.kinds import Brightness
from cxr_spark.spark_ml.stages.base import RandomStage


class RandomBrightness(RandomStage, kind=Brightness):
    """Multiplies the grey values of each image by a factor drawn from 1 - factor to 1 + factor; clamps to 0..255.

    `RandomStage` tells how random stages behave alone and in a Pipeline.
    """
