"""Applies batch functions to image columns of DataFrames. This runs on the driver, `execution.py` on executors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf
from pyspark.sql.types import BinaryType

from cxr_spark.errors import DataError
from cxr_spark.spark_ml.stages.execution import Source
from cxr_spark.spark_ml.stages.metadata import ImageColumn

log = logging.getLogger(__name__)

_BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
#: The release of Spark from which it limits the bytes of a batch itself.
_LIMITS_BYTES = 4
#: Bytes that one Arrow batch of images may take. By default Spark puts 10,000 rows into one: with images, more than
#: Arrow's 2 GiB a column, or than an executor has.
_BATCH_BYTES = 64 * 2**20
#: Assumed length of a value that is not known, an image file or an image without metadata; NIH's PNGs have 0.4 MB.
_ASSUMED_ROW_BYTES = 2**20


def column_of(dataset: DataFrame, name: str) -> Column:
    """Returns a top-level column by its literal name, dots and backticks included."""
    return dataset["`" + name.replace("`", "``") + "`"]


def image_index_column(dataset: DataFrame, name: str, is_set: bool) -> Column | None:
    """Returns the column that names each image.

    Args:
        dataset: a DataFrame with that column, or with a column `path`.
        name: the name of the column.
        is_set: whether the user set the name; then `path` does not take its place.

    Returns:
        The column; else the base name of `path`, as `spark.read.format("binaryFile")` gives it; else None.

    Raises:
        DataError: the user set the name and there is no such column, or the column holds no strings.
    """
    if name in dataset.columns:
        kind = dataset.schema[name].dataType.simpleString()
        if kind != "string":
            raise DataError(f"column {name!r} is {kind}: expected string, the name of each image")
        return column_of(dataset, name)
    if is_set:
        raise DataError(
            f"no column {name!r} with the name of each image: the DataFrame has {', '.join(dataset.columns)}"
        )
    return sf.element_at(sf.split(dataset["path"], "/"), -1) if "path" in dataset.columns else None


def map_column(
    dataset: DataFrame,
    function: Callable[..., Any],
    arguments: list[Column],
    source: Source,
    output_name: str,
    output: ImageColumn,
) -> DataFrame:
    """Adds or replaces an image column.

    Args:
        dataset: any DataFrame.
        function: a function from arrays of objects, one for each argument, to an array of bytes or None.
        arguments: the columns that `function` gets, the images first.
        source: the input column, and the policy for rows without a usable image.
        output_name: the name of the new column.
        output: the content of the new column, which goes into its metadata.
    """
    limit_arrow_batches(dataset, source.column, output)

    def of_series(*columns: pd.Series) -> pd.Series:
        images: pd.Series = pd.Series(function(*(_objects(column) for column in columns)))
        return images

    rows = _rows(output)
    sliced = _grow(source.column, output) and not 0 < _rows_of_a_batch(dataset) <= rows
    mapped = sf.pandas_udf(_in_slices(of_series, rows) if sliced else of_series, BinaryType())
    if source.on_invalid == "skip":
        # Else the optimiser copies the function into the filter below, and every image is worked on twice.
        mapped = mapped.asNondeterministic()
    result = with_image_column(dataset, mapped(*arguments), output_name, output)
    return result.where(column_of(result, output_name).isNotNull()) if source.on_invalid == "skip" else result


def with_image_column(dataset: DataFrame, values: Column, name: str, content: ImageColumn) -> DataFrame:
    """Adds or replaces a binary column together with the metadata that says what it holds."""
    return dataset.withColumn(name, values.alias(name, metadata=content.to_metadata()))


def limit_arrow_batches(dataset: DataFrame, *columns: ImageColumn) -> None:
    """Lowers the rows of an Arrow batch on Spark 3.5, so that a batch of the largest of some images fits.

    That is a setting of the session, which stays lowered, since Spark reads it when the DataFrame is computed. Spark 4
    limits the bytes of a batch itself (`spark.sql.execution.arrow.maxBytesPerBatch`), so there the session stays as it
    is.
    """
    if int(dataset.sparkSession.version.partition(".")[0]) >= _LIMITS_BYTES:
        return
    conf = dataset.sparkSession.conf
    current, rows = _rows_of_a_batch(dataset), min(map(_rows, columns))
    if not 0 < current <= rows:
        conf.set(_BATCH_ROWS, str(rows))
        log.info("%s lowered from %d to %d, for batches of at most %d bytes", _BATCH_ROWS, current, rows, _BATCH_BYTES)


def _rows(column: ImageColumn) -> int:
    """Returns how many images of a column may be in one Arrow batch."""
    return max(1, _BATCH_BYTES // (column.row_bytes or _ASSUMED_ROW_BYTES))


def _grow(images: ImageColumn, results: ImageColumn) -> bool:
    """Whether results may take many times the bytes of the images that they are made from.

    Images that keep their size grow four times at most, from uint8 to float32. Spark limits the bytes of what they are
    made from, so that is left to run in one pass with the stages before and after it.
    """
    return images.size != results.size and (images.row_bytes or 0) < (results.row_bytes or _ASSUMED_ROW_BYTES)


def _rows_of_a_batch(dataset: DataFrame) -> int:
    """Returns the session's limit of rows in one Arrow batch; none where it is not positive."""
    return int(dataset.sparkSession.conf.get(_BATCH_ROWS) or 0)


def _in_slices(
    function: Callable[..., pd.Series], rows: int
) -> Callable[[Iterator[tuple[pd.Series, ...]]], Iterator[pd.Series]]:
    """Returns a function over batches that hands on its results in batches of at most `rows` rows.

    Results can be larger than what they are made from, and Spark limits only the batches that it makes itself. It does
    not run such a function together with those of other stages, so it is used only where it is needed.
    """

    def over_batches(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.Series]:
        for batch in batches:
            columns = batch if isinstance(batch, tuple) else (batch,)  # Spark hands over a single column bare
            for start in range(0, len(columns[0]), rows):
                yield function(*(column.iloc[start : start + rows] for column in columns))

    return over_batches


def _objects(column: pd.Series) -> Any:
    """Returns the values of a column, None where one is missing: pandas 3 has NaN for a missing string."""
    values = column.to_numpy(dtype=object, copy=True)
    values[column.isna().to_numpy()] = None
    return values
