"""A trained model as a Spark ML Model: adds a column of probabilities to a DataFrame of images.

Saved, it is the model folder with Spark ML's own `metadata/` beside it, so one folder loads both ways.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from pyspark.ml import Model
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import (
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.types import ArrayType, FloatType

from cxr_spark.augmentation.kernels import grey_from_bgr
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.models.metadata_file import METADATA_NAME, WEIGHTS_NAME, load_metadata
from cxr_spark.outputs.names import SPARK_TEXT
from cxr_spark.runtime.session import default_fs
from cxr_spark.scoring.shipping import ship_model, threads_of_a_task
from cxr_spark.spark_ml.stages.dataframe import column_of, limit_arrow_batches
from cxr_spark.spark_ml.stages.execution import Source, map_images
from cxr_spark.spark_ml.stages.metadata import METADATA_KEY, image_column
from cxr_spark.spark_ml.stages.params import HasInvalidPolicy
from cxr_spark.storage.store import Store, resolve

#: Where Spark ML keeps Params, below the folder of a saved instance.
_PARAMS = "metadata"


class HasScoringColumns(HasInvalidPolicy):
    """Mixin for the column of images that goes in and the column of probabilities that comes out."""

    imageCol: Param[str] = Param(
        Params._dummy(),
        "imageCol",
        "binary column of images: grey uint8, or ImageNetBGR's output",
        typeConverter=TypeConverters.toString,
    )
    probabilitiesCol: Param[str] = Param(
        Params._dummy(),
        "probabilitiesCol",
        "array<float> column of the probability of each finding",
        typeConverter=TypeConverters.toString,
    )

    def getImageCol(self) -> str:
        """Gets the column of images."""
        return str(self.getOrDefault(self.imageCol))

    def setImageCol(self, value: str) -> HasScoringColumns:
        """Sets the column of images."""
        return self._set(imageCol=value)

    def getProbabilitiesCol(self) -> str:
        """Gets the column of probabilities."""
        return str(self.getOrDefault(self.probabilitiesCol))

    def setProbabilitiesCol(self, value: str) -> HasScoringColumns:
        """Sets the column of probabilities."""
        return self._set(probabilitiesCol=value)


class ChestXRayModel(Model, HasScoringColumns, MLReadable, MLWritable):
    """A trained network.

    `transform` adds `probabilitiesCol`, array<float> in the order of `metadata.findings`.

    Args:
        uri: full URI of a model folder, such as RUN/model of the train job.
    """

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.uri = uri
        self._setDefault(imageCol="pixels", probabilitiesCol="probabilities", handleInvalid="error")

    @property
    def metadata(self) -> ModelMetadata:
        """All that is known about the model.

        Raises:
            DataError: the folder holds no model.
        """
        return load_metadata(Store(self.uri))

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings that the probabilities belong to, in order."""
        return self.metadata.findings

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.check_params()
        spark = dataset.sparkSession
        name = self.getImageCol()
        column = image_column(dataset.schema, name)
        source = Source(name, column, self.getHandleInvalid())
        shipped, loaded = ship_model(spark, self.uri)
        threads = threads_of_a_task(spark, spark.sparkContext.defaultParallelism)
        limit_arrow_batches(dataset, column)

        def function(values: pd.Series) -> pd.Series:
            ready = shipped.on_worker(threads)

            def kernel(batch: torch.Tensor) -> torch.Tensor:
                grey = grey_from_bgr(batch) if source.column.is_bgr else batch
                return torch.from_numpy(ready.predict(grey.numpy(), _BATCH))

            rows = map_images(values.to_numpy(), source, kernel)
            return pd.Series([None if row is None else np.frombuffer(row, np.float32) for row in rows], dtype=object)

        udf = sf.pandas_udf(function, ArrayType(FloatType())).asNondeterministic()
        output = self.getProbabilitiesCol()
        about = {METADATA_KEY: {"findings": list(loaded.metadata.findings), "model_id": loaded.metadata.model_id}}
        result = dataset.withColumn(output, udf(column_of(dataset, name)).alias(output, metadata=about))
        return result.where(column_of(result, output).isNotNull()) if source.on_invalid == "skip" else result

    def write(self) -> MLWriter:
        """Returns the writer that `save` uses."""
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader[ChestXRayModel]:
        """Returns the reader that `load` uses."""
        return _Reader()

    def save_params(self, spark: SparkSession) -> None:
        """Writes Spark ML's part of the model folder, so that `ChestXRayModel.load` takes it.

        The files have the names that Spark gives, but Spark itself writes only where there is no folder yet. So what an
        earlier run wrote is replaced here by name, and no other file in the folder is touched.
        """
        folder = Store(self.uri).child(_PARAMS)
        for name in folder.names() if folder.exists() else ():
            if SPARK_TEXT.fullmatch(name):
                folder.delete(name)
        metadata = DefaultParamsWriter._get_metadata_to_save(self, spark.sparkContext)
        folder.write_bytes("part-00000", f"{metadata}\n".encode())
        folder.write_bytes("_SUCCESS", b"")


#: Images a forward pass.
_BATCH = 32


class _Writer(MLWriter):
    def __init__(self, instance: ChestXRayModel) -> None:
        super().__init__()
        self._instance = instance

    def saveImpl(self, path: str) -> None:
        """Copies the model folder, its metadata last, and writes the Params beside it."""
        spark = SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()
        source, target = Store(self._instance.uri), Store(resolve(path, default_fs(spark)))
        DefaultParamsWriter.saveMetadata(self._instance, target.uri, spark.sparkContext)
        for name in (WEIGHTS_NAME, METADATA_NAME):
            target.write_bytes(name, source.read_bytes(name))


class _Reader(MLReader[ChestXRayModel]):
    def load(self, path: str) -> ChestXRayModel:
        """Reads a model folder that was saved by Spark ML or written by the train job."""
        spark = SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()
        uri = resolve(path, default_fs(spark))
        params: dict[str, Any] = DefaultParamsReader.loadMetadata(uri, spark.sparkContext)
        model = ChestXRayModel(uri)
        load_metadata(Store(uri))
        model._resetUid(params["uid"])
        DefaultParamsReader.getAndSetParams(model, params)
        return model
