"""The stage that makes the network's input out of grey images."""

from __future__ import annotations

from pyspark import keyword_only

from cxr_spark.augmentation import kernels
from cxr_spark.errors import DataError
from cxr_spark.spark_ml.stages.base import ImageTransformer
from cxr_spark.spark_ml.stages.execution import InvalidPolicy, Kernel
from cxr_spark.spark_ml.stages.metadata import ImageColumn


class ImageNetBGR(ImageTransformer):
    """Makes the input of the network, float32 (3, H, W): blue, green and red, each 0..255 minus its ImageNet mean.

    The means are 103.939, 116.779 and 123.68, see `cxr_spark.augmentation.kernels.IMAGENET_MEAN_BGR`.

    Args:
        inputCol: the column to read, grey uint8 (default: pixels).
        outputCol: the column to write (default: pixels).
        handleInvalid: error (default), skip or keep.

    Raises:
        ConfigError: a Param is out of range.
    """

    @keyword_only
    def __init__(
        self, *, inputCol: str = "pixels", outputCol: str = "pixels", handleInvalid: InvalidPolicy = "error"
    ) -> None:
        super().__init__()
        self._set(**self._input_kwargs)

    def kernel(self) -> Kernel:
        """Returns the function from (N, H, W) to float32 (N, 3, H, W)."""
        return kernels.imagenet_bgr

    def output_column(self, column: ImageColumn) -> ImageColumn:
        """Returns the content of the output column: the network's input."""
        if column.is_bgr:
            raise DataError(f"column {self.getInputCol()!r} is {column} already: expected grey uint8 images")
        return ImageColumn(column.size, True, column.augmentations)
