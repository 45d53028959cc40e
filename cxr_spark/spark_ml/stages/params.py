"""The Params that image stages share, with setters and getters. Values are checked as soon as they are set."""

from __future__ import annotations

from typing import Any, TypeVar

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasHandleInvalid, HasInputCol, HasOutputCol

from cxr_spark.errors import ConfigError
from cxr_spark.spark_ml.stages.execution import InvalidPolicy

P = TypeVar("P", bound="CheckedParams")


class CheckedParams(Params):
    """Params whose ranges are checked whenever one is set. When a value is refused, all Params stay as they were."""

    def check_params(self) -> None:
        """Raises ConfigError, with the value and what was expected, if a value is out of range."""

    _paramMap: dict[Param[Any], Any]

    def copy(self: P, extra: dict[Param[Any], Any] | None = None) -> P:
        """Returns a copy, with the values of `extra` in place of its own.

        Raises:
            ConfigError: a value is out of range.
        """
        result: P = super().copy(extra)
        result.check_params()
        return result

    def _set(self: P, **kwargs: Any) -> P:
        before = dict(self._paramMap)
        super()._set(**kwargs)
        # While `copy` fills a new object, values and defaults come in one by one: it checks at its end.
        if all(self.isDefined(param) for param in self.params):
            try:
                self.check_params()
            except ConfigError:
                self._paramMap = before
                raise
        return self


class HasImageColumns(CheckedParams, HasInputCol, HasOutputCol):
    """Mixin for an input and an output column of images. Unless set, both are `pixels`, so a stage works in place."""

    def setInputCol(self: P, value: str) -> P:
        """Sets the column to read."""
        return self._set(inputCol=value)

    def setOutputCol(self: P, value: str) -> P:
        """Sets the column to write. A column of that name is replaced."""
        return self._set(outputCol=value)


class HasInvalidPolicy(CheckedParams, HasHandleInvalid):
    """Mixin for the policy for rows without a usable image."""

    handleInvalid: Param[str] = Param(
        Params._dummy(),
        "handleInvalid",
        "what to do with a row whose image is null, cannot be decoded or has the wrong length: 'error' (fail), "
        "'skip' (drop the row) or 'keep' (give null)",
        typeConverter=TypeConverters.toString,
    )

    def setHandleInvalid(self: P, value: InvalidPolicy) -> P:
        """Sets the policy for a row without a usable image: error, skip or keep."""
        return self._set(handleInvalid=value)

    def check_params(self) -> None:
        """Checks the policy's name."""
        super().check_params()
        policy = self.getHandleInvalid()
        if policy not in ("error", "skip", "keep"):
            raise ConfigError(f"handleInvalid is {policy!r}: expected error, skip or keep")


class HasImageIndexCol(CheckedParams):
    """Mixin for the column that names an image. Unless it is set, the base name of `path` serves where it is absent."""

    imageIndexCol: Param[str] = Param(
        Params._dummy(),
        "imageIndexCol",
        "column with the name of each image; unless set, the base name of column path serves where it is absent",
        typeConverter=TypeConverters.toString,
    )

    def setImageIndexCol(self: P, value: str) -> P:
        """Sets the column with the name of each image."""
        return self._set(imageIndexCol=value)

    def getImageIndexCol(self) -> str:
        """Gets the column with the name of each image."""
        return str(self.getOrDefault(self.imageIndexCol))


class HasSize(CheckedParams):
    """Mixin for the side of a stage's square output images."""

    size: Param[int] = Param(
        Params._dummy(), "size", "side of the square result, in pixels", typeConverter=TypeConverters.toInt
    )

    def setSize(self: P, value: int) -> P:
        """Sets the side of the result, in pixels."""
        return self._set(size=value)

    def getSize(self) -> int:
        """Gets the side of the result, in pixels."""
        return int(self.getOrDefault(self.size))

    def check_params(self) -> None:
        """Checks the side."""
        super().check_params()
        if self.getSize() < 1:
            raise ConfigError(f"size is {self.getSize()}: expected a number of pixels, 1 or more")


class HasSeedAndEpoch(CheckedParams):
    """Mixin for the seed and the epoch of a random stage that is used alone on a DataFrame."""

    seed: Param[int] = Param(
        Params._dummy(),
        "seed",
        "seed of the draws when the stage is used alone; in a Pipeline the classifier's seed counts",
        typeConverter=TypeConverters.toInt,
    )
    epoch: Param[int] = Param(
        Params._dummy(),
        "epoch",
        "epoch of the draws, from 0, when the stage is used alone; in a Pipeline each training epoch draws anew",
        typeConverter=TypeConverters.toInt,
    )

    def setSeed(self: P, value: int) -> P:
        """Sets the seed."""
        return self._set(seed=value)

    def getSeed(self) -> int:
        """Gets the seed."""
        return int(self.getOrDefault(self.seed))

    def setEpoch(self: P, value: int) -> P:
        """Sets the epoch."""
        return self._set(epoch=value)

    def getEpoch(self) -> int:
        """Gets the epoch."""
        return int(self.getOrDefault(self.epoch))

    def check_params(self) -> None:
        """Checks the epoch."""
        super().check_params()
        if self.getEpoch() < 0:
            raise ConfigError(f"epoch is {self.getEpoch()}: expected 0 or more")
