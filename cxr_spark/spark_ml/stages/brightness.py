"""The stage that makes images brighter or darker at random."""

from __future__ import annotations

from pyspark import keyword_only
from pyspark.ml.param import Param, Params, TypeConverters

from cxr_spark.augmentation.kinds import Brightness
from cxr_spark.spark_ml.stages.base import RandomStage
from cxr_spark.spark_ml.stages.execution import InvalidPolicy


class RandomBrightness(RandomStage):
    """Multiplies the grey values of each image by a factor drawn from 1 - factor to 1 + factor; clamps to 0..255.

    How random stages behave alone and in a Pipeline: see `RandomStage`.

    Args:
        inputCol: column to read (default: pixels).
        outputCol: column to write (default: pixels).
        imageIndexCol: column with the image's name (default: image_index, else the base name of path).
        factor: largest change, 0 to 1 (default: 0.2).
        handleInvalid: error (default), skip or keep.
        seed: of the draws when used alone (default: 0).
        epoch: of the draws when used alone (default: 0).

    Raises:
        ConfigError: a Param is out of range.
    """

    kind = Brightness

    factor: Param[float] = Param(
        Params._dummy(), "factor", "largest change of the brightness, 0 to 1", typeConverter=TypeConverters.toFloat
    )

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str = "pixels",
        outputCol: str = "pixels",
        imageIndexCol: str = "image_index",
        factor: float = 0.2,
        handleInvalid: InvalidPolicy = "error",
        seed: int = 0,
        epoch: int = 0,
    ) -> None:
        super().__init__()
        self._setDefault(factor=0.2)
        self._set(**self._input_kwargs)

    def setFactor(self, value: float) -> RandomBrightness:
        """Sets the largest change."""
        return self._set(factor=value)

    def getFactor(self) -> float:
        """Gets the largest change."""
        return float(self.getOrDefault(self.factor))
