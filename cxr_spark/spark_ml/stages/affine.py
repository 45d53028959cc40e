"""The stage that rotates, shifts, shears and zooms images at random."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark import keyword_only
from pyspark.ml.param import Param, Params, TypeConverters

from cxr_spark.augmentation.kinds import Affine
from cxr_spark.spark_ml.stages.base import RandomStage
from cxr_spark.spark_ml.stages.execution import InvalidPolicy


class RandomAffine(RandomStage):
    """Rotates, shifts, shears and zooms each image about its centre, in one bilinear step; black from outside.

    How random stages behave alone and in a Pipeline: see `RandomStage`.

    Args:
        inputCol: column to read (default: pixels).
        outputCol: column to write (default: pixels).
        imageIndexCol: column with the image's name (default: image_index, else the base name of path).
        degrees: largest rotation either way, 0 to 180 (default: 0).
        shift: largest shift either way, as a fraction of each side, 0 to below 1 (default: 0).
        shear: largest horizontal shear either way, in degrees, 0 to below 90 (default: 0).
        zoom: smallest and largest factor, such as [0.9, 1.1] (default: [1, 1]).
        handleInvalid: error (default), skip or keep.
        seed: of the draws when used alone (default: 0).
        epoch: of the draws when used alone (default: 0).

    Raises:
        ConfigError: a Param is out of range.
    """

    kind = Affine

    degrees: Param[float] = Param(
        Params._dummy(), "degrees", "largest rotation either way, 0 to 180", typeConverter=TypeConverters.toFloat
    )
    shift: Param[float] = Param(
        Params._dummy(),
        "shift",
        "largest shift either way as a fraction of each side, 0 to below 1",
        typeConverter=TypeConverters.toFloat,
    )
    shear: Param[float] = Param(
        Params._dummy(),
        "shear",
        "largest horizontal shear either way in degrees, 0 to below 90",
        typeConverter=TypeConverters.toFloat,
    )
    zoom: Param[list[float]] = Param(
        Params._dummy(), "zoom", "smallest and largest zoom factor", typeConverter=TypeConverters.toListFloat
    )

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str = "pixels",
        outputCol: str = "pixels",
        imageIndexCol: str = "image_index",
        degrees: float = 0.0,
        shift: float = 0.0,
        shear: float = 0.0,
        zoom: Sequence[float] = (1.0, 1.0),
        handleInvalid: InvalidPolicy = "error",
        seed: int = 0,
        epoch: int = 0,
    ) -> None:
        super().__init__()
        self._setDefault(degrees=0.0, shift=0.0, shear=0.0, zoom=[1.0, 1.0])
        self._set(**self._input_kwargs)

    def setDegrees(self, value: float) -> RandomAffine:
        """Sets the largest rotation, in degrees."""
        return self._set(degrees=value)

    def getDegrees(self) -> float:
        """Gets the largest rotation, in degrees."""
        return float(self.getOrDefault(self.degrees))

    def setShift(self, value: float) -> RandomAffine:
        """Sets the largest shift, as a fraction of each side."""
        return self._set(shift=value)

    def getShift(self) -> float:
        """Gets the largest shift, as a fraction of each side."""
        return float(self.getOrDefault(self.shift))

    def setShear(self, value: float) -> RandomAffine:
        """Sets the largest shear, in degrees."""
        return self._set(shear=value)

    def getShear(self) -> float:
        """Gets the largest shear, in degrees."""
        return float(self.getOrDefault(self.shear))

    def setZoom(self, value: Sequence[float]) -> RandomAffine:
        """Sets the smallest and the largest zoom factor."""
        return self._set(zoom=list(value))

    def getZoom(self) -> list[float]:
        """Gets the smallest and the largest zoom factor."""
        zoom: list[float] = self.getOrDefault(self.zoom)
        return zoom
