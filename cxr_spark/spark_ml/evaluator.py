"""AUC and average precision as a Spark ML Evaluator, so that Spark's own model selection works with the classifier."""

from __future__ import annotations

from typing import Any

from pyspark import keyword_only
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as sf
from pyspark.storagelevel import StorageLevel

from cxr_spark.errors import ConfigError, DataError
from cxr_spark.evaluation.counting.distributed import curves_of
from cxr_spark.evaluation.counting.pairs import MICRO, first_curve
from cxr_spark.evaluation.counting.whole_curves import Curve
from cxr_spark.evaluation.image_sets.on_spark import SparkImages
from cxr_spark.spark_ml.stages.dataframe import column_of

METRICS = ("macro_auc", "micro_auc", "macro_average_precision", "micro_average_precision")


class ChestXRayEvaluator(Evaluator, DefaultParamsReadable, DefaultParamsWritable):
    """Measures the probabilities that a `ChestXRayModel` adds, against the labels beside them.

    The numbers are exact: scores are not sorted into bins, ties count half, and no image comes to the driver. They are
    those of scikit-learn's `roc_auc_score` and `average_precision_score`. A label that is NaN is not known and is left
    out. Macro is the mean over the findings of which there are both positive and negative images; micro takes all pairs
    of an image and a finding together.

    Args:
        metricName: `macro_auc`, `micro_auc`, `macro_average_precision` or `micro_average_precision`.
        labelsCol: array of 0, 1 or NaN, one for each finding.
        probabilitiesCol: array of as many probabilities.

    Raises:
        ConfigError: there is no such metric.
    """

    metricName: Param[str] = Param(
        Params._dummy(), "metricName", f"one of {', '.join(METRICS)}", typeConverter=TypeConverters.toString
    )
    labelsCol: Param[str] = Param(
        Params._dummy(), "labelsCol", "array column of labels: 0, 1, or NaN", typeConverter=TypeConverters.toString
    )
    probabilitiesCol: Param[str] = Param(
        Params._dummy(), "probabilitiesCol", "array column of probabilities", typeConverter=TypeConverters.toString
    )

    @keyword_only
    def __init__(
        self, *, metricName: str = "macro_auc", labelsCol: str = "labels", probabilitiesCol: str = "probabilities"
    ) -> None:
        super().__init__()
        self._setDefault(metricName="macro_auc", labelsCol="labels", probabilitiesCol="probabilities")
        self.setParams(**self._input_kwargs)

    def setParams(self, **values: Any) -> ChestXRayEvaluator:
        """Sets Params by name.

        Raises:
            ConfigError: there is no such metric.
        """
        self._set(**values)
        self._metric()
        return self

    def isLargerBetter(self) -> bool:
        """A larger value is better, whichever metric it is."""
        return True

    def _metric(self) -> tuple[str, str]:
        name = str(self.getOrDefault(self.metricName))
        if name not in METRICS:
            raise ConfigError(f"metricName={name!r}: expected one of {', '.join(METRICS)}")
        average, _, number = name.partition("_")
        return average, number

    def _evaluate(self, dataset: DataFrame) -> float:
        average, number = self._metric()
        frame = self._images(dataset).persist(StorageLevel.MEMORY_AND_DISK)  # else each pass runs the network again
        try:
            n_images, n_findings = self._checked(frame)
            curves = curves_of(
                SparkImages(frame), n_images=n_images, n_findings=n_findings, subgroups=(), replicates=0, seed=0
            )
        finally:
            frame.unpersist()
        first = first_curve(0, n_findings)
        numbers = [MICRO] if average == "micro" else range(first, first + n_findings)
        values = [_value(curves[curve], number) for curve in numbers if curve in curves]
        defined = [value for value in values if value is not None]
        if not defined:
            raise DataError(
                f"{average}_{number} of {n_images} images is not defined: expected a finding with both positive and "
                "negative images; take larger folds, or leave out findings that are so rare"
            )
        return sum(defined) / len(defined)

    def _images(self, dataset: DataFrame) -> DataFrame:
        """Returns the labelled images with the columns that the counting reads."""
        named = {"labels": self.getOrDefault(self.labelsCol), "scores": self.getOrDefault(self.probabilitiesCol)}
        for name in named.values():
            kind = dataset.schema[name].dataType.simpleString() if name in dataset.columns else None
            if kind not in ("array<float>", "array<double>"):
                found = f"is {kind}" if kind else f"is not among {', '.join(dataset.columns)}"
                raise DataError(f"column {name!r} {found}: expected an array of numbers, one for each finding")
        columns = [column_of(dataset, name).cast("array<double>").alias(alias) for alias, name in named.items()]
        return dataset.select(*columns, sf.lit(0).cast("bigint").alias("patient")).where("labels is not null")

    def _checked(self, frame: DataFrame) -> tuple[int, int]:
        """Returns how many images and findings there are.

        Raises:
            DataError: there are none, or a value is missing or is no label or probability.
        """
        found = frame.agg(
            sf.count("*").alias("images"),
            sf.min(sf.size("labels")).alias("least"),
            sf.max(sf.size("labels")).alias("most"),
            sf.max(sf.expr("cast(scores is null or size(scores) != size(labels) as int)")).alias("other_length"),
            sf.max(sf.expr("cast(exists(scores, x -> x is null or isnan(x)) as int)")).alias("no_number"),
            sf.max(sf.expr("cast(exists(labels, x -> x is null or (x not in (0, 1) and not isnan(x))) as int)")).alias(
                "no_label"
            ),
        ).first()
        labels, scores = self.getOrDefault(self.labelsCol), self.getOrDefault(self.probabilitiesCol)
        if found is None or not found["images"]:
            raise DataError(f"column {labels!r} has no labels: there is nothing to measure")
        if found["other_length"] or found["least"] != found["most"] or not found["most"]:
            raise DataError(f"columns {labels!r} and {scores!r} differ in length: expected one value for each finding")
        if found["no_number"]:
            raise DataError(f"column {scores!r} holds a value that is not a number: expected probabilities")
        if found["no_label"]:
            raise DataError(f"column {labels!r} holds a value other than 0, 1 and NaN: expected labels")
        return int(found["images"]), int(found["most"])


def patient_folds(
    dataset: DataFrame, numFolds: int, *, patientCol: str = "patient_id", foldCol: str = "fold", seed: int = 42
) -> DataFrame:
    """Adds a column of folds in which all images of a patient are in the same fold.

    Give its name to Spark's `CrossValidator` as `foldCol`. Spark's own random folds would put images of one patient on
    both sides, and the AUC would come out too high.

    Args:
        dataset: images, each with its patient.
        numFolds: how many folds.
        patientCol: column that names the patient of each image.
        foldCol: name of the new column: integers from 0 to numFolds - 1.
        seed: another seed gives other folds. The same one gives the same folds whatever the order of the images.

    Raises:
        ConfigError: fewer than two folds.
        DataError: there is no such column.
    """
    if numFolds < 2:
        raise ConfigError(f"numFolds={numFolds}: expected 2 or more")
    if patientCol not in dataset.columns:
        raise DataError(
            f"no column {patientCol!r} that names the patient of each image: the DataFrame has "
            f"{', '.join(dataset.columns)}"
        )
    patient = column_of(dataset, patientCol).cast("string")
    # An image whose patient is not known is taken for a patient of its own.
    own = sf.concat(sf.lit("image "), column_of(dataset, "image_index")) if "image_index" in dataset.columns else None
    known = patient if own is None else sf.coalesce(patient, own)
    fold = sf.pmod(sf.xxhash64(sf.lit(seed), known), sf.lit(numFolds)).cast("int")
    return dataset.withColumn(foldCol, fold)


def _value(curve: Curve, number: str) -> float | None:
    return curve.auc if number == "auc" else curve.average_precision
