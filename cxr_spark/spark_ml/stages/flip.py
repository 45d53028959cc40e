"""The stages that mirror images at random."""

from __future__ import annotations

from pyspark import keyword_only
from pyspark.ml.param import Param, Params, TypeConverters

from cxr_spark.augmentation.kinds import HorizontalFlip, VerticalFlip
from cxr_spark.spark_ml.stages.base import RandomStage
from cxr_spark.spark_ml.stages.execution import InvalidPolicy


class _RandomFlip(RandomStage):
    """What both flips share."""

    p: Param[float] = Param(Params._dummy(), "p", "probability of a flip, 0 to 1", typeConverter=TypeConverters.toFloat)

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str = "pixels",
        outputCol: str = "pixels",
        imageIndexCol: str = "image_index",
        p: float = 0.5,
        handleInvalid: InvalidPolicy = "error",
        seed: int = 0,
        epoch: int = 0,
    ) -> None:
        super().__init__()
        self._setDefault(p=0.5)
        self._set(**self._input_kwargs)

    def setP(self, value: float) -> _RandomFlip:
        """Sets the probability of a flip."""
        return self._set(p=value)

    def getP(self) -> float:
        """Gets the probability of a flip."""
        return float(self.getOrDefault(self.p))


class RandomHorizontalFlip(_RandomFlip):
    """Mirrors each image left to right with probability `p`.

    How random stages behave alone and in a Pipeline: see `RandomStage`.

    Args:
        inputCol: column to read (default: pixels).
        outputCol: column to write (default: pixels).
        imageIndexCol: column with the image's name (default: image_index, else the base name of path).
        p: probability of a flip (default: 0.5).
        handleInvalid: error (default), skip or keep.
        seed: of the draws when used alone (default: 0).
        epoch: of the draws when used alone (default: 0).

    Raises:
        ConfigError: a Param is out of range.
    """

    kind = HorizontalFlip


class RandomVerticalFlip(_RandomFlip):
    """Mirrors each image upside down with probability `p`.

    How random stages behave alone and in a Pipeline: see `RandomStage`.

    Args:
        inputCol: column to read (default: pixels).
        outputCol: column to write (default: pixels).
        imageIndexCol: column with the image's name (default: image_index, else the base name of path).
        p: probability of a flip (default: 0.5).
        handleInvalid: error (default), skip or keep.
        seed: of the draws when used alone (default: 0).
        epoch: of the draws when used alone (default: 0).

    Raises:
        ConfigError: a Param is out of range.
    """

    kind = VerticalFlip
