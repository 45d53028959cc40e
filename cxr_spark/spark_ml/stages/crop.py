"""The stages that cut a square window out of each image: the middle one, or one at a random place."""

from __future__ import annotations

from functools import partial

from pyspark import keyword_only

from cxr_spark.augmentation import kernels
from cxr_spark.augmentation.kinds import Crop
from cxr_spark.spark_ml.stages.base import ImageTransformer, RandomStage, check_not_after_random_crop
from cxr_spark.spark_ml.stages.execution import InvalidPolicy, Kernel
from cxr_spark.spark_ml.stages.metadata import ImageColumn
from cxr_spark.spark_ml.stages.params import HasSize


class CenterCrop(ImageTransformer, HasSize):
    """Keeps the middle `size` x `size` pixels of each image.

    Args:
        inputCol: the column to read (default: pixels).
        outputCol: the column to write (default: pixels).
        size: the side of the result in pixels (default: 224). Images must not be smaller.
        handleInvalid: error (default), skip or keep.

    Raises:
        ConfigError: a Param is out of range.
    """

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str = "pixels",
        outputCol: str = "pixels",
        size: int = 224,
        handleInvalid: InvalidPolicy = "error",
    ) -> None:
        super().__init__()
        self._setDefault(size=224)
        self._set(**self._input_kwargs)

    def kernel(self) -> Kernel:
        """Returns the function from (..., H, W) to (..., size, size)."""
        return partial(kernels.center_crop, height=self.getSize(), width=self.getSize())

    def output_column(self, column: ImageColumn) -> ImageColumn:
        """Returns the content of the output column: the same kind of images, of the window's size."""
        check_not_after_random_crop(column, self.getInputCol(), "CenterCrop")
        if column.size is not None:
            kernels.check_crop(column.size, self.getSize(), self.getSize())
        return ImageColumn((self.getSize(), self.getSize()), column.is_bgr, column.augmentations)


class RandomCrop(RandomStage, kind=Crop):
    """Cuts a window of `size` x `size` pixels at a random place; a trained classifier takes the middle one.

    Images must not be smaller than the window. `RandomStage` tells how random stages behave alone and in a Pipeline.
    """
