"""Predictions to evaluate, from the score job or from any other tool, as one form of table."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from cxr_spark.datasets.base import LabelTable
from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.images import FACTS, Truth
from cxr_spark.evaluation.reading.tables import column, data_files, open_table
from cxr_spark.outputs.claim import DONE_NAME
from cxr_spark.storage.store import Store, parent_and_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: What a model's outputs can be: a sigmoid a finding, or one softmax.
TASKS = ("multi_label", "single_label")
INDEX, PREFIX = "Image Index", "prob_"
_TYPES = {"age": "double"}
_TEXT_OR_NUMBER = ("string", "double", "float", "int", "bigint", "smallint", "tinyint")


@dataclass(frozen=True)
class Predictions:
    """Predictions as a table.

    Attributes:
        frame: a row an image, as `images.checker` wants it; not yet checked.
        findings: what each place of `labels` and `scores` stands for.
        source: URI, for messages.
        truth: labels from a file of their own; None where the frame has them.
        task: of the model: `multi_label` or `single_label`; None where the source does not say.
    """

    frame: DataFrame
    findings: tuple[str, ...]
    source: str
    truth: Truth | None = None
    task: str | None = None


def read_predictions(spark: SparkSession, uri: str) -> Predictions:
    """Opens predictions; nothing but schemas and first lines is read yet.

    Args:
        spark: the session.
        uri: output of the score job; or a CSV or Parquet table with a column `Image Index` and columns `prob_FINDING`.

    Raises:
        DataError: it is neither, or cannot be read.
    """
    names, table = open_table(spark, uri)
    if {"image_index", "probabilities", "labels"} <= set(names):
        return _of_score_job(uri, names, table)
    if INDEX in names and any(name.startswith(PREFIX) for name in names):
        return _of_other_tool(uri, names, table)
    seen = ", ".join(repr(name[:40]) for name in names[:12]) + (", ..." if len(names) > 12 else "")
    raise DataError(
        f"{uri} has the columns {seen}: expected the output of the score job, or a column {INDEX!r} and columns "
        f"{PREFIX + 'FINDING'!r} such as 'prob_Effusion'"
    )


def _of_score_job(uri: str, names: Sequence[str], table: DataFrame) -> Predictions:
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    missing = [name for name in ("image_index", *FACTS, "labels", "probabilities") if name not in names]
    if missing:
        raise DataError(f"{uri} is not the output of the score job: it has no column {missing[0]!r}")
    at = {name: F.col(column(i)) for i, name in enumerate(names)}
    frame = table.select(
        at["image_index"].alias("image_index"),
        *(at[name].cast(_TYPES.get(name, "string")).alias(name) for name in FACTS),
        at["labels"].cast("array<double>").alias("labels"),
        at["probabilities"].cast("array<double>").alias("scores"),
        F.lit(None).cast("string").alias("malformed"),
    )
    findings, task = _about(uri)
    return Predictions(frame, findings, uri, task=task)


def _of_other_tool(uri: str, names: Sequence[str], table: DataFrame) -> Predictions:
    from pyspark.sql import functions as F  # noqa: N812 (its usual name)

    twice = sorted({name for name in names if names.count(name) > 1 and (name == INDEX or name.startswith(PREFIX))})
    if twice:
        raise DataError(f"{uri} has the column {twice[0]!r} twice")
    places = [i for i, name in enumerate(names) if name.startswith(PREFIX)]
    used = [names.index(INDEX), *places]
    for i in used:
        kind = table.schema[i].dataType.simpleString()
        if kind not in _TEXT_OR_NUMBER and not kind.startswith("decimal"):
            raise DataError(f"{uri}: column {names[i]!r} is of type {kind}: expected numbers")
    if "_corrupt" in table.columns:
        malformed = F.when(
            F.col("_corrupt").isNotNull(), F.concat(F.lit("a row does not fit the header: "), F.col("_corrupt"))
        )
    else:
        malformed = F.lit(None).cast("string")
    text = any(table.schema[i].dataType.simpleString() == "string" for i in places)
    scores = F.array(*(F.col(column(i)).cast("string" if text else "double") for i in places))
    frame = table.select(
        F.trim(F.col(column(used[0])).cast("string")).alias("image_index"),
        *(F.lit(None).cast(_TYPES.get(name, "string")).alias(name) for name in FACTS),
        F.lit(None).cast("array<double>").alias("labels"),
        # Text stays text here, so that what is wrong with it can be quoted; numbers become double, which loses nothing.
        scores.alias("scores"),
        malformed.alias("malformed"),
    )
    return Predictions(frame, tuple(names[i].removeprefix(PREFIX) for i in places), uri)


def _about(uri: str) -> tuple[tuple[str, ...], str | None]:
    """Finds out what the places of the score job's arrays stand for, and the task; a folder must be finished."""
    files = data_files(uri)
    about: Any
    if files[0].uri == uri:
        about = _footer(uri)
    else:
        try:
            about = Store(uri).read_json(DONE_NAME)
        except FileNotFoundError:
            raise DataError(
                f"{uri} has no {DONE_NAME}: the score job has not finished there, or this is not the whole --out folder"
            ) from None
        about = about.get("summary") if isinstance(about, dict) else None
    about = about if isinstance(about, dict) else {}
    findings, task = about.get("findings"), about.get("task")
    if not isinstance(findings, list) or not findings:
        raise DataError(f"{uri} does not say which findings its probabilities are of: score the images again")
    return tuple(map(str, findings)), task if task in TASKS else None


def _footer(uri: str) -> dict[str, Any]:
    """Reads what the score job left in the schema metadata of a Parquet file."""
    store, name = parent_and_name(uri)
    system, root = store.arrow()
    metadata = pq.read_schema(f"{root.rstrip('/')}/{name}", filesystem=system).metadata or {}
    found = {}
    for key in ("findings", "task"):
        with contextlib.suppress(ValueError):
            found[key] = json.loads(metadata.get(key.encode(), b"null"))
    return found


def with_labels(
    predictions: Predictions, labels: LabelTable, source: str, naming: Callable[[str], str] | None = None
) -> Predictions:
    """Gives predictions the labels, and what else is known of the images, of a label file.

    Args:
        predictions: unlabelled or labelled; the file wins.
        labels: of the label file.
        source: where that came from, for messages.
        naming: from what predictions call an image to its name in the labels; None: they are the same.

    Returns:
        Predictions with `truth`. Images that it does not name are left out of the evaluation.

    Raises:
        DataError: a finding is not in the label file's vocabulary.
    """
    for name in predictions.findings:
        if name not in labels.findings:
            raise DataError(
                f"{predictions.source}: {name!r} is not a finding of {source}: expected {PREFIX}NAME with NAME one of "
                + ", ".join(labels.findings)
            )
    places = [labels.findings.index(name) for name in predictions.findings]
    matrix = labels.table.column("labels").combine_chunks().flatten().to_numpy().reshape(-1, len(labels.findings))
    return replace(predictions, truth=Truth(labels.table.drop_columns(["labels"]), matrix[:, places], naming))
