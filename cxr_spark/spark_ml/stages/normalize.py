"""The stage that makes the network's input out of grey images."""

from __future__ import annotations

from pyspark import keyword_only

from cxr_spark.augmentation import kernels
from cxr_spark.errors import DataError
from cxr_spark.spark_ml.stages.base import ImageTransformer
from cxr_spark.spark_ml.stages.execution import InvalidPolicy, Kernel
from cxr_spark.spark_ml.stages.metadata import ImageColumn


class ImageNetBGR(ImageTransformer):
    """Makes float32 (3, H, W): blue, green, red, 0..255, each minus its ImageNet mean (103.939, 116.779, 123.68).

    Args:
        inputCol: column to read, grey uint8 (default: pixels).
        outputCol: column to write (default: pixels).
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
        """Returns the network's input; see `ImageTransformer.output_column`."""
        if column.is_bgr:
            raise DataError(f"column {self.getInputCol()!r} is {column} already: expected grey uint8 images")
        return ImageColumn(column.size, True, column.augmentations)
