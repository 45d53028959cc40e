"""The trainer as a Spark ML Estimator: `ChestXRayClassifier(...).fit(df)` gives a `ChestXRayModel`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame

from cxr_spark.augmentation.building import BatchAugmentation, from_json
from cxr_spark.config import Settings, load_settings
from cxr_spark.errors import ConfigError
from cxr_spark.outputs.claim import digest
from cxr_spark.runtime.session import resolve_shared
from cxr_spark.spark_ml.export import Columns, export
from cxr_spark.spark_ml.model import ChestXRayModel, HasScoringColumns
from cxr_spark.spark_ml.stages.base import RandomStage
from cxr_spark.spark_ml.stages.metadata import image_field, pending_augmentations
from cxr_spark.spark_ml.stages.params import HasImageIndexCol
from cxr_spark.spark_ml.training import train
from cxr_spark.storage.store import Store
from cxr_spark.training.start import fingerprint

#: Params that are settings of the train job under another name.
_SETTINGS = {
    "architecture": "model.architecture",
    "weights": "model.weights",
    "inputSize": "model.input_size",
    "epochs": "train.epochs",
    "globalBatch": "train.global_batch",
    "learningRate": "train.learning_rate",
    "optimizer": "train.optimizer",
    "precision": "train.precision",
    "seed": "train.seed",
    "workers": "train.workers",
}
_CONVERTERS = {int: TypeConverters.toInt, float: TypeConverters.toFloat, str: TypeConverters.toString}


def _param(name: str, doc: str, kind: type) -> Param[Any]:
    return Param(Params._dummy(), name, doc, typeConverter=_CONVERTERS[kind])


class ChestXRayClassifier(Estimator, HasScoringColumns, HasImageIndexCol, DefaultParamsReadable, DefaultParamsWritable):
    """Fine-tunes a network on a DataFrame of images.

    `fit` writes the images, its checkpoints and the model under `workDir`; the same call again takes up what is there.
    In a Pipeline it is the last stage. It runs the augmentations that random stages before it left on the column, then
    its own, anew for each image and epoch.

    Args:
        workDir: URI of a folder that driver and executors reach.
        imageCol: binary column: grey uint8 images, or `ImageNetBGR`'s output.
        labelsCol: array of numbers, one a finding; NaN where not known.
        imageIndexCol: names of the images; the base name of `path` where it is absent.
        validationIndicatorCol: boolean column, true for validation images; without it there is no validation.
        probabilitiesCol: column that the fitted model adds.
        findings: names of the labels; default NIH's 15.
        augmentations: random stages, run each epoch on the training images.
        settings: any other setting of the train job, as `section.name=value`.
        handleInvalid: what the fitted model does with rows without a usable image.
        architecture, weights, inputSize, epochs, globalBatch, learningRate, optimizer, precision, seed, workers: the
            settings of the train job of these names; see `cxr-spark config --schema`.
    """

    labelsCol = _param("labelsCol", "array<float> column of labels", str)
    validationIndicatorCol = _param("validationIndicatorCol", "boolean column: true for validation images", str)
    workDir = _param("workDir", "URI of a folder for images, checkpoints and model", str)
    findings: Param[list[str]] = Param(
        Params._dummy(), "findings", "names of the labels", typeConverter=TypeConverters.toListString
    )
    augmentations: Param[list[str]] = Param(
        Params._dummy(), "augmentations", "augmentations of each epoch, as JSON", TypeConverters.toListString
    )
    settings: Param[list[str]] = Param(
        Params._dummy(), "settings", "more settings, as section.name=value", TypeConverters.toListString
    )
    architecture = _param("architecture", "the network", str)
    weights = _param("weights", "random, a URI, or a torchvision name", str)
    inputSize = _param("inputSize", "side of the network's input, pixels", int)
    epochs = _param("epochs", "passes over the training images", int)
    globalBatch = _param("globalBatch", "images per step over all ranks", int)
    learningRate = _param("learningRate", "learning rate, after any warm-up", float)
    optimizer = _param("optimizer", "adam, adamw, sgd or rmsprop", str)
    precision = _param("precision", "auto, fp32 or bf16", str)
    seed = _param("seed", "seed of initial weights, order and augmentation", int)
    workers = _param("workers", "training processes (ranks)", int)

    @keyword_only
    def __init__(
        self,
        *,
        workDir: str | None = None,
        imageCol: str = "pixels",
        labelsCol: str = "labels",
        imageIndexCol: str = "image_index",
        validationIndicatorCol: str | None = None,
        probabilitiesCol: str = "probabilities",
        findings: Sequence[str] = (),
        augmentations: Sequence[RandomStage] = (),
        settings: Sequence[str] = (),
        handleInvalid: str = "error",
        architecture: str | None = None,
        weights: str | None = None,
        inputSize: int | None = None,
        epochs: int | None = None,
        globalBatch: int | None = None,
        learningRate: float | None = None,
        optimizer: str | None = None,
        precision: str | None = None,
        seed: int | None = None,
        workers: int | None = None,
    ) -> None:
        super().__init__()
        self._setDefault(
            imageCol="pixels",
            labelsCol="labels",
            imageIndexCol="image_index",
            probabilitiesCol="probabilities",
            handleInvalid="error",
            findings=[],
            augmentations=[],
            settings=[],
        )
        self.setParams(**self._input_kwargs)

    def setParams(self, **values: Any) -> ChestXRayClassifier:
        """Sets Params by name; `augmentations` are random stages. None leaves a Param as it is.

        Raises:
            ConfigError: a value is out of range.
        """
        given = {name: value for name, value in values.items() if value is not None}
        if "augmentations" in given:
            given["augmentations"] = [_json(stage) for stage in given["augmentations"]]
        for name in ("findings", "settings"):
            if name in given:
                given[name] = list(given[name])
        self._set(**given)
        self.training_settings()
        return self

    def training_settings(self, pending: Sequence[Any] = ()) -> Settings:
        """Returns the settings of the train job that the Params stand for.

        Args:
            pending: augmentations that stages before this one left on the column.

        Raises:
            ConfigError: a value does not fit.
        """
        own = [from_json(text) for text in self.getOrDefault(self.augmentations)]
        entries = [{a.name: a.model_dump(mode="json", exclude={"stream"})} for a in (*pending, *own)]
        changes: dict[str, Any] = {"train.augmentations": entries}
        for name, setting in _SETTINGS.items():
            if self.isSet(name):
                changes[setting] = self.getOrDefault(name)
        return load_settings(None, self.getOrDefault(self.settings)).updated(changes)

    def _fit(self, dataset: DataFrame) -> ChestXRayModel:
        if not self.isSet(self.workDir):
            raise ConfigError("workDir is not set: expected the URI of a folder that driver and executors reach")
        pending = pending_augmentations(image_field(dataset.schema, self.getImageCol()))
        settings = self.training_settings(pending)
        spark = dataset.sparkSession
        folder = Store(resolve_shared(spark, self.getOrDefault(self.workDir), "workDir"))
        prepared = export(dataset, folder, self._columns(), self.getOrDefault(self.findings))
        run = folder.child(f"run-{digest(fingerprint(settings, prepared))[:16]}")
        result = train(spark, settings, prepared, run)
        model = ChestXRayModel(result.model)
        model._resetUid(self.uid)
        return self._copyValues(model)  # type: ignore[no-any-return]

    def _columns(self) -> Columns:
        return Columns(
            image=self.getImageCol(),
            labels=str(self.getOrDefault(self.labelsCol)),
            image_index=self.getImageIndexCol(),
            image_index_is_set=self.isSet(self.imageIndexCol),
            validation=self.getOrDefault(self.validationIndicatorCol)
            if self.isSet(self.validationIndicatorCol)
            else None,
        )


def _json(stage: Any) -> str:
    if not isinstance(stage, RandomStage):
        raise ConfigError(f"augmentations has {stage!r}: expected random stages such as RandomHorizontalFlip(p=0.5)")
    augmentation: BatchAugmentation = stage.kernel()
    return augmentation.to_json()
