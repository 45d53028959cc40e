"""The base classes of the image stages: deterministic Transformers, random stages, and the models these fit."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from pyspark import keyword_only
from pyspark.ml import Estimator, Model, Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame

from cxr_spark.augmentation.building import BatchAugmentation, from_json, make
from cxr_spark.errors import DataError
from cxr_spark.spark_ml.stages.dataframe import column_of, image_index_column, map_column, with_image_column
from cxr_spark.spark_ml.stages.execution import Kernel, Source, augment_images, map_images
from cxr_spark.spark_ml.stages.generated import add_params, documented, signature_of
from cxr_spark.spark_ml.stages.metadata import ImageColumn, image_column
from cxr_spark.spark_ml.stages.params import HasImageColumns, HasImageIndexCol, HasInvalidPolicy, HasSeedAndEpoch

_COLUMN_DEFAULTS = MappingProxyType({"inputCol": "pixels", "outputCol": "pixels", "imageIndexCol": "image_index"})
_COMMON_DEFAULTS = MappingProxyType({"handleInvalid": "error", "seed": 0, "epoch": 0})


class ImageTransformer(Transformer, HasImageColumns, HasInvalidPolicy, DefaultParamsReadable, DefaultParamsWritable):
    """Base of the stages that draw nothing. A subclass defines `kernel` and `output_column`."""

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(inputCol="pixels", outputCol="pixels", handleInvalid="error")

    def kernel(self) -> Kernel:
        """Returns the function on batches that the stage applies. It can be pickled and needs no Spark."""
        raise NotImplementedError

    def output_column(self, column: ImageColumn) -> ImageColumn:
        """Returns the content of the output column.

        Args:
            column: the content of the input column.

        Raises:
            DataError: the stage cannot take such images.
        """
        raise NotImplementedError

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.check_params()
        name = self.getInputCol()
        column = image_column(dataset.schema, name)
        output = self.output_column(column)
        source = Source(name, column, self.getHandleInvalid())
        function = partial(map_images, source=source, kernel=self.kernel())
        return map_column(dataset, function, [column_of(dataset, name)], source, self.getOutputCol(), output)


class RandomStage(
    Estimator,
    HasImageColumns,
    HasImageIndexCol,
    HasInvalidPolicy,
    HasSeedAndEpoch,
    DefaultParamsReadable,
    DefaultParamsWritable,
):
    """Base of the random stages.

    Alone, `transform` draws for each image of a DataFrame by the Params `seed` and `epoch`. In a Pipeline it is an
    Estimator whose model changes no image and only tells the classifier, through the column's metadata, what to draw
    in training, in every epoch anew. It is not a Transformer: a Pipeline would run one before the classifier sees the
    images, once and for all.

    A subclass names its augmentation, `class RandomAffine(RandomStage, kind=Affine)`. Each setting of the augmentation
    becomes a Param of the same name, with a setter, a getter and a keyword of the constructor.
    """

    #: The augmentation that the stage stands for.
    kind: ClassVar[type[BatchAugmentation]]
    _defaults: ClassVar[Mapping[str, Any]]

    def __init_subclass__(cls, *, kind: type[BatchAugmentation] | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        if kind is None:  # a subclass of a stage keeps what that one has
            return
        cls.kind = kind
        names = [name for name in kind.model_fields if name not in BatchAugmentation.model_fields]
        settings = add_params(cls, kind, names)
        cls._defaults = MappingProxyType({**_COLUMN_DEFAULTS, **settings, **_COMMON_DEFAULTS})
        cls.__signature__ = signature_of(cls._defaults)
        descriptions = {name: getattr(cls, name).doc.rstrip(".") for name in cls._defaults}
        cls.__doc__ = documented(cls.__doc__, descriptions, cls._defaults)

    @keyword_only
    def __init__(self, **params: Any) -> None:
        super().__init__()
        type(self).__signature__.bind(**params)  # raises TypeError for a keyword that there is not
        self._setDefault(**self._defaults)
        self._set(**self._input_kwargs)

    if TYPE_CHECKING:
        __signature__: ClassVar[inspect.Signature]

        def __getattr__(self, name: str) -> Any:
            """Stands for the generated setters, getters and Params, which a type checker cannot see."""

    def kernel(self) -> BatchAugmentation:
        """Returns the augmentation with this stage's settings. It can be pickled and needs no Spark.

        Raises:
            ConfigError: a Param is out of range.
        """
        settings = self.kind.model_fields.keys() - BatchAugmentation.model_fields.keys()
        return make(self.kind.name, {name: self.getOrDefault(name) for name in settings})

    def check_params(self) -> None:
        """Checks every Param."""
        super().check_params()
        self.kernel()

    def transform(self, dataset: DataFrame, params: dict[Any, Any] | None = None) -> DataFrame:
        """Draws for each image of a DataFrame and applies what was drawn.

        Args:
            dataset: a DataFrame with the input column, and with the image's name in `imageIndexCol` or in `path`.
            params: values of Params for this call only.

        Returns:
            The DataFrame with the output column. The same image, seed and epoch give the same result always.

        Raises:
            ConfigError: a Param is out of range.
            DataError: a column is missing or of the wrong type, or the images do not fit.
        """
        return self.copy(params)._draw(dataset) if params else self._draw(dataset)

    def _draw(self, dataset: DataFrame) -> DataFrame:
        self.check_params()
        name, augmentation, seed, epoch = self.getInputCol(), self.kernel(), self.getSeed(), self.getEpoch()
        column = image_column(dataset.schema, name)
        image_index = image_index_column(dataset, self.getImageIndexCol(), self.isSet(self.imageIndexCol))
        if image_index is None:
            raise DataError(
                f"no column {self.getImageIndexCol()!r} or 'path' with the name of each image, by which the stage "
                f"draws: set imageIndexCol to one of {', '.join(dataset.columns)}"
            )
        output = ImageColumn(_size_after(augmentation, column.size), column.is_bgr, column.augmentations)
        source = Source(name, column, self.getHandleInvalid())
        function = partial(augment_images, source=source, augmentation=augmentation, seed=seed, epoch=epoch)
        return map_column(
            dataset, function, [column_of(dataset, name), image_index], source, self.getOutputCol(), output
        )

    def _fit(self, dataset: DataFrame) -> RandomStageModel:
        self.check_params()
        column = image_column(dataset.schema, self.getInputCol())
        size = column.size
        for augmentation in column.with_augmentation(self.kernel()).augmentations:
            size = _size_after(augmentation, size)  # one that does not fit fails here, not in training
        model: RandomStageModel = RandomStageModel(
            inputCol=self.getInputCol(), outputCol=self.getOutputCol(), augmentation=self.kernel().to_json()
        )
        return model


class RandomStageModel(Model, HasImageColumns, DefaultParamsReadable, DefaultParamsWritable):
    """The model that a random stage fits: it leaves images unchanged and passes the augmentation on to the trainer."""

    augmentation: Param[str] = Param(
        Params._dummy(),
        "augmentation",
        "the augmentation for the training loop, as JSON",
        typeConverter=TypeConverters.toString,
    )

    @keyword_only
    def __init__(self, *, inputCol: str = "pixels", outputCol: str = "pixels", augmentation: str = "") -> None:
        super().__init__()
        self._setDefault(inputCol="pixels", outputCol="pixels")
        self._set(**self._input_kwargs)

    def kernel(self) -> BatchAugmentation:
        """Returns the augmentation that the training loop is to run."""
        return from_json(self.getOrDefault(self.augmentation))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name = self.getInputCol()
        content = image_column(dataset.schema, name).with_augmentation(self.kernel())
        return with_image_column(dataset, column_of(dataset, name), self.getOutputCol(), content)


def _size_after(augmentation: BatchAugmentation, size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Returns (height, width) after an augmentation, None if unknown; raises DataError if the images do not fit."""
    if size is not None:
        return augmentation.output_size(size)
    side = augmentation.fixed_size
    return None if side is None else (side, side)


def check_not_after_random_crop(column: ImageColumn, name: str, stage: str) -> None:
    """Raises DataError if a random crop of a column is pending: training would run it after `stage`, on its output."""
    if any(augmentation.fixed_size is not None for augmentation in column.augmentations):
        raise DataError(
            f"{stage} comes after a RandomCrop of column {name!r}, which runs in training, after every other stage: "
            f"put {stage} before the RandomCrop"
        )
