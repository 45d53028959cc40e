"""The stage that makes square grey images from image files or from other grey images."""

from __future__ import annotations

from functools import partial

from pyspark import keyword_only
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.sql import DataFrame

from cxr_spark.augmentation import kernels
from cxr_spark.errors import ConfigError, DataError
from cxr_spark.imaging.resize import MODES, ResizeMode
from cxr_spark.spark_ml.stages.base import ImageTransformer, check_not_after_random_crop
from cxr_spark.spark_ml.stages.dataframe import column_of, image_index_column, map_column
from cxr_spark.spark_ml.stages.execution import InvalidPolicy, Kernel, Source, decode_images
from cxr_spark.spark_ml.stages.metadata import ImageColumn, has_image_metadata, image_column, image_field
from cxr_spark.spark_ml.stages.params import HasImageIndexCol, HasSize


class Resize(ImageTransformer, HasSize, HasImageIndexCol):
    """Resizes images to `size` x `size` grey uint8: by averages over areas where they shrink, linearly where they grow.

    The input column holds grey images as another stage or the prepare job left them, with their shape in the column's
    metadata; or, where there is no such metadata, image files (PNG, JPEG), as `spark.read.format("binaryFile")` reads
    them into `content`.

    Args:
        inputCol: the column to read (default: pixels).
        outputCol: the column to write (default: pixels).
        imageIndexCol: the column that names an image in errors (default: image_index, else path).
        size: the side of the result in pixels (default: 224).
        mode: squash (stretch each axis, default), pad (black, keeps the aspect ratio) or crop (middle square).
        handleInvalid: error (default), skip or keep.

    Raises:
        ConfigError: a Param is out of range.
    """

    mode: Param[str] = Param(
        Params._dummy(),
        "mode",
        "how an image becomes a square: squash (stretch each axis), pad (with black) or crop (the middle)",
        typeConverter=TypeConverters.toString,
    )

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str = "pixels",
        outputCol: str = "pixels",
        imageIndexCol: str = "image_index",
        size: int = 224,
        mode: ResizeMode = "squash",
        handleInvalid: InvalidPolicy = "error",
    ) -> None:
        super().__init__()
        self._setDefault(size=224, mode="squash", imageIndexCol="image_index")
        self._set(**self._input_kwargs)

    def setMode(self, value: ResizeMode) -> Resize:
        """Sets how an image becomes a square: squash, pad or crop."""
        return self._set(mode=value)

    def getMode(self) -> ResizeMode:
        """Gets how an image becomes a square."""
        mode: ResizeMode = self.getOrDefault(self.mode)
        return mode

    def check_params(self) -> None:
        """Checks every Param."""
        super().check_params()
        if self.getMode() not in MODES:
            raise ConfigError(f"mode is {self.getMode()!r}: expected one of {', '.join(MODES)}")

    def kernel(self) -> Kernel:
        """Returns the function from uint8 (N, H, W) to uint8 (N, size, size)."""
        return partial(kernels.resize, size=self.getSize(), mode=self.getMode())

    def output_column(self, column: ImageColumn) -> ImageColumn:
        """Returns the content of the output column: grey squares."""
        if column.is_bgr:
            raise DataError(
                f"Resize takes grey images, and column {self.getInputCol()!r} is {column}: resize them first"
            )
        check_not_after_random_crop(column, self.getInputCol(), "Resize")
        return ImageColumn((self.getSize(), self.getSize()), augmentations=column.augmentations)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.check_params()
        name = self.getInputCol()
        if has_image_metadata(image_field(dataset.schema, name)):
            return super()._transform(dataset)
        source = Source(name, image_column(dataset.schema, name), self.getHandleInvalid())
        image_index = image_index_column(dataset, self.getImageIndexCol(), self.isSet(self.imageIndexCol))
        function = partial(decode_images, source=source, size=self.getSize(), mode=self.getMode())
        arguments = [column_of(dataset, name), *([] if image_index is None else [image_index])]
        return map_column(dataset, function, arguments, source, self.getOutputCol(), self.output_column(source.column))
