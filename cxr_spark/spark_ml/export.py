"""From a DataFrame of images to a prepared dataset that training ranks can read."""

from __future__ import annotations

import functools
import logging
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf
from pyspark.sql.types import ArrayType, BinaryType, FloatType

from cxr_spark.augmentation.kernels import grey_from_bgr
from cxr_spark.datasets.findings import NIH_FINDINGS
from cxr_spark.errors import DataError
from cxr_spark.outputs.lock import Lock
from cxr_spark.runtime.spark_schema import to_spark
from cxr_spark.spark_ml.export_folders import delete_dead_exports, delete_export, exports, new_name
from cxr_spark.spark_ml.stages.dataframe import column_of, image_index_column, limit_arrow_batches
from cxr_spark.spark_ml.stages.execution import Source, map_images
from cxr_spark.spark_ml.stages.metadata import image_column
from cxr_spark.storage.store import NotJsonError, Store
from cxr_spark.tables.prepared import MANIFEST_NAME, PreparedDataset
from cxr_spark.tables.schema import PREPARED, TRAIN, VALIDATION

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Columns:
    """Names of the columns to train on.

    Attributes:
        image: images, grey uint8 or the network's input.
        labels: array of numbers, NaN where not known.
        image_index: names of the images.
        image_index_is_set: whether the user asked for that name.
        validation: boolean, true for validation images; None for none.
    """

    image: str
    labels: str
    image_index: str
    image_index_is_set: bool
    validation: str | None


def export(dataset: DataFrame, folder: Store, columns: Columns, findings: Sequence[str]) -> PreparedDataset:
    """Writes a DataFrame as a prepared dataset; one of the same contents, written before, is taken instead.

    Args:
        dataset: images and labels.
        folder: the folder to write under.
        columns: the names of the columns that are exported.
        findings: names of the labels; empty for NIH's 15.

    Returns:
        The dataset. Its images are uint8, whatever went in: grey images come back from the network's input exactly.

    Raises:
        DataError: a column is missing or of the wrong type, a value is null, or there are no images.
    """
    delete_dead_exports(folder)
    name = new_name()
    rows = dataset.select(*_values(dataset, columns))
    lock = Lock(folder.child(name), "fit")
    try:
        manifest = _write(rows, folder.uri_of(f"{name}/data"), columns, findings)
        kept = _same_or_new(folder, name, manifest)
    except BaseException:
        delete_export(folder, name)
        raise
    finally:
        lock.release()
    if kept != name:
        delete_export(folder, name)
    return PreparedDataset.open(folder.uri_of(kept))


def _write(rows: DataFrame, uri: str, columns: Columns, findings: Sequence[str]) -> dict[str, object]:
    """Writes the rows as Parquet, and returns the manifest of what was written."""
    rows.write.partitionBy("split").parquet(uri)
    written = rows.sparkSession.read.schema(rows.schema).parquet(uri)
    facts = written.groupBy("split").agg(
        sf.count("*").alias("images"),
        sf.sum(_is_null("pixels", "labels", "image_index").cast("int")).alias("null"),
        sf.min(sf.size("labels")).alias("least"),
        sf.max(sf.size("labels")).alias("most"),
        sf.min(sf.length("pixels")).alias("smallest"),
        sf.max(sf.length("pixels")).alias("largest"),
        sf.sum(sf.xxhash64("image_index", "labels", "pixels").cast("decimal(38,0)")).alias("digest"),
    )
    found = {row["split"]: row for row in facts.collect()}
    side, width = _check([row.asDict() for row in found.values()], columns)
    return {
        "findings": list(_findings(findings, width)),
        "size": side,
        "resize": "squash",
        "splits": {split: {"images": int(row["images"])} for split, row in sorted(found.items())},
        "digest": {split: str(row["digest"]) for split, row in sorted(found.items())},
    }


def _values(dataset: DataFrame, columns: Columns) -> list[Column]:
    content = image_column(dataset.schema, columns.image)
    pixels = column_of(dataset, columns.image)
    if content.is_bgr:
        limit_arrow_batches(dataset, content)
        function = functools.partial(map_images, source=Source(columns.image, content, "error"), kernel=grey_from_bgr)

        def to_grey(values: pd.Series) -> pd.Series:
            grey: pd.Series = pd.Series(function(values.to_numpy()), dtype=object)
            return grey

        pixels = sf.pandas_udf(to_grey, BinaryType())(pixels)
    index = image_index_column(dataset, columns.image_index, columns.image_index_is_set)
    if index is None:
        raise DataError(f"no column {columns.image_index!r} with the name of each image: set imageIndexCol")
    labels = _array_of_float(dataset, columns.labels)
    given = {
        "image_index": index,
        "labels": labels,
        "pixels": pixels,
        "height": sf.lit(0 if content.size is None else content.size[0]),
        "width": sf.lit(0 if content.size is None else content.size[1]),
        "uri": column_of(dataset, "path") if "path" in dataset.columns else sf.lit(""),
    }
    values = []
    for field in to_spark(PREPARED):
        known = given.get(field.name)
        if known is None:
            known = column_of(dataset, field.name) if field.name in dataset.columns else sf.lit(None)
        values.append(known.cast(field.dataType).alias(field.name))
    return [*values, _split(dataset, columns.validation).alias("split")]


def _is_null(*names: str) -> Column:
    return functools.reduce(operator.or_, (sf.col(name).isNull() for name in names))


def _array_of_float(dataset: DataFrame, name: str) -> Column:
    if name not in dataset.columns:
        raise DataError(f"no column {name!r} with the labels: the DataFrame has {', '.join(dataset.columns)}")
    kind = dataset.schema[name].dataType
    if not isinstance(kind, ArrayType) or kind.elementType.typeName() not in (
        "float", "double", "integer", "long", "short", "byte",
    ):  # fmt: skip
        raise DataError(f"column {name!r} is {kind.simpleString()}: expected array<float>, one label a finding")
    return column_of(dataset, name).cast(ArrayType(FloatType()))


def _split(dataset: DataFrame, validation: str | None) -> Column:
    if validation is None:
        return sf.lit(TRAIN)
    if validation not in dataset.columns or dataset.schema[validation].dataType.typeName() != "boolean":
        raise DataError(f"validationIndicatorCol is {validation!r}: expected a boolean column of the DataFrame")
    return sf.when(column_of(dataset, validation), VALIDATION).otherwise(TRAIN)


def _check(facts: Sequence[Mapping[str, Any]], columns: Columns) -> tuple[int, int]:
    """Returns the side of the images and the number of labels."""
    if not facts:
        raise DataError("the DataFrame has no rows: there is nothing to train on")
    if any(row["null"] for row in facts):
        raise DataError(
            f"{sum(row['null'] for row in facts)} rows have no image, labels or image index: drop them first"
        )
    lengths = {row[key] for row in facts for key in ("smallest", "largest")}
    side = math.isqrt(max(lengths))
    if len(lengths) > 1 or side * side != max(lengths) or side == 0:
        raise DataError(
            f"column {columns.image!r} has images of {min(lengths)} to {max(lengths)} pixels: expected square ones of "
            "one size; put a Resize stage before"
        )
    widths = {row[key] for row in facts for key in ("least", "most")}
    if len(widths) > 1:
        raise DataError(
            f"column {columns.labels!r} has {min(widths)} to {max(widths)} labels a row: expected as many each"
        )
    return side, widths.pop()


def _findings(names: Sequence[str], width: int) -> Sequence[str]:
    names = names or (NIH_FINDINGS if width == len(NIH_FINDINGS) else ())
    if len(names) != width:
        raise DataError(
            f"there are {width} labels a row and {len(names)} findings: set the Param findings to their names"
        )
    return names


def _same_or_new(folder: Store, name: str, manifest: dict[str, object]) -> str:
    """Returns the folder of an earlier export of the same contents, else completes the new one."""
    for earlier in exports(folder):
        try:
            if earlier != name and folder.read_json(f"{earlier}/{MANIFEST_NAME}") == manifest:
                log.info("the same images were exported before: %s", folder.uri_of(earlier))
                return earlier
        except (FileNotFoundError, NotJsonError):  # not complete, or damaged: such an export is not used
            continue
    folder.write_json(f"{name}/{MANIFEST_NAME}", manifest)
    return name
