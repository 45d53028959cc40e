"""Opens predictions to evaluate, of the score job or of any other tool, as tables of one form."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import pyarrow.parquet as pq
from pydantic import Field

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.findings import (
    CHEXPERT_FINDINGS,
    NIH_FINDINGS,
    finding_named,
    shared_findings,
    told_synonyms,
)
from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.columns import PREFIX, Layout, find_columns
from cxr_spark.evaluation.reading.images import Truth
from cxr_spark.evaluation.reading.rows import SCORE_COLUMNS, RowReader
from cxr_spark.evaluation.reading.tables import Table, data_files, open_table
from cxr_spark.outputs.done import read_done
from cxr_spark.outputs.mark import DONE_NAME
from cxr_spark.storage.store import NotJsonError, Store, parent_and_name
from cxr_spark.storage.typed_json import OutsideModel, validated

log = logging.getLogger(__name__)

#: The tasks of models: a sigmoid for each finding, or one softmax over all classes.
TASKS = ("multi_label", "single_label")


class _About(OutsideModel):
    """The facts on its predictions that the score job leaves."""

    findings: Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(min_length=1, max_length=100_000)]
    task: Any = None


@dataclass(frozen=True)
class Predictions:
    """Predictions that are not read yet.

    Attributes:
        reader: reads the rows of each task of its table, as `images.checker` takes them. Nothing is checked yet.
        findings: the finding of each position in `labels` and `scores`.
        source: the URI of the predictions, for messages.
        truth: labels from a file of their own; None where the rows have them.
        task: the task of the model, `multi_label` or `single_label`; None where the source does not say.
        called: the name in the labels for each finding of the source that the labels name differently.
        unlabelled: findings of the source that the labels do not have, and that are left out.
    """

    reader: RowReader
    findings: tuple[str, ...]
    source: str
    truth: Truth | None = None
    task: str | None = None
    called: Mapping[str, str] = field(default_factory=dict)
    unlabelled: tuple[str, ...] = ()


def read_predictions(
    uri: str,
    *,
    layout: Layout | None = None,
    vocabulary: Sequence[str] | None = None,
    task: str | None = None,
) -> Predictions:
    """Opens predictions; nothing but schemas and first lines is read yet.

    Args:
        uri: output of the score job; or a table, as Parquet or as text such as CSV, with a column `Image Index` and
            columns `prob_FINDING`.
        layout: what the user says of another tool's table; None: nothing.
        vocabulary: the findings that there are labels of; then a column may be named by the finding alone.
        task: one of `TASKS`, where the user says so; it tells how logits become probabilities.

    Raises:
        DataError: it is neither, or cannot be read.
    """
    table = open_table(uri)
    layout = layout or Layout()
    if {"image_index", "probabilities", "labels"} <= set(table.names) and table.form is None:
        _check_score_job(table)
        findings, told = _about(uri)
        return Predictions(RowReader(table, None), findings, uri, task=told)
    columns = find_columns(table, layout, vocabulary)
    softmax = (task == TASKS[1]) if layout.logits else None
    told = _task_of_csv(uri, task) if columns.facts else None
    return Predictions(RowReader(table, columns, softmax), columns.findings, uri, task=told)


def _check_score_job(table: Table) -> None:
    for name in SCORE_COLUMNS:
        if name not in table.names:
            raise DataError(f"{table.source} is not the output of the score job: it has no column {name!r}")


def _about(uri: str) -> tuple[tuple[str, ...], str | None]:
    """Finds out what the places of the score job's arrays stand for, and the task; a folder must be finished."""
    files = data_files(uri)
    if files[0].uri == uri:
        told = _footer(uri)
    else:
        try:
            told = read_done(Store(uri)).summary
        except FileNotFoundError:
            raise DataError(
                f"{uri} has no {DONE_NAME}: the score job has not finished there, or this is not the whole --out folder"
            ) from None
        except NotJsonError as error:
            raise DataError(str(error)) from None
    what = f"{uri} does not say which findings its probabilities are of, score the images again"
    about = validated(_About, told, what)
    return tuple(about.findings), about.task if about.task in TASKS else None


def _task_of_csv(uri: str, given: str | None) -> str | None:
    """Returns the task of the score job's CSV, which only its folder names.

    Args:
        uri: the folder, or one file of it.
        given: the task that the user names; a file that lies elsewhere needs it.

    Raises:
        DataError: the folder is not finished, or nothing says what the task is.
    """
    if data_files(uri)[0].uri != uri:
        return _about(uri)[1]
    folder, _ = parent_and_name(uri)
    try:
        task = read_done(folder).summary.get("task")
    except (FileNotFoundError, NotJsonError):
        task = None
    if task in TASKS:
        return str(task)
    if given is None:
        raise DataError(
            f"{uri} is CSV of the score job, which alone does not say whether the model has one softmax: give the "
            f"whole --out folder of the score job, or --task {' or '.join(TASKS)}"
        )
    return None


def _footer(uri: str) -> dict[str, Any]:
    """Reads what the score job left in the schema metadata of a Parquet file."""
    store, name = parent_and_name(uri)
    system, root = store.arrow()
    metadata = pq.read_schema(f"{root.rstrip('/')}/{name}", filesystem=system).metadata or {}
    found = {}
    for key in ("findings", "task"):
        with contextlib.suppress(ValueError, RecursionError):
            found[key] = json.loads(metadata.get(key.encode(), b"null"))
    return found


def with_labels(
    predictions: Predictions, labels: LabelTable, source: str, naming: Callable[[str], str] | None = None
) -> Predictions:
    """Gives predictions the labels, and what else is known of the images, of a label file.

    Args:
        predictions: unlabelled or labelled; the file wins.
        labels: the content of the label file.
        source: the label file, for messages.
        naming: a function from the name of an image in the predictions to its name in the labels; None where the two
            names are the same.

    Returns:
        Predictions with `truth`, of the findings that both have, by name or synonym. Images that it does not name are
        left out of the evaluation.

    Raises:
        DataError: no finding is in the label file's vocabulary, one is in no vocabulary, or one softmax would lose a
            class.
    """
    shared = shared_findings(predictions.findings, labels.findings)
    unlabelled = tuple(name for name in predictions.findings if name not in shared)
    _check_left_out(predictions, unlabelled, bool(shared), labels, source)
    told = list(labels.warnings)
    for line in (told_synonyms(shared), _told_left_out(unlabelled, source)):
        if line:
            log.info("%s: %s", predictions.source, line)
            told.append(line)
    kept = tuple(name in shared for name in predictions.findings)
    findings = tuple(shared[name] for name in predictions.findings if name in shared)
    places = [labels.findings.index(name) for name in findings]
    matrix = labels.table.column("labels").combine_chunks().flatten().to_numpy().reshape(-1, len(labels.findings))
    return replace(
        predictions,
        findings=findings,
        reader=replace(predictions.reader, kept=kept) if unlabelled else predictions.reader,
        truth=Truth(labels.table.drop_columns(["labels"]), matrix[:, places], naming, tuple(told)),
        called={name: called for name, called in shared.items() if name != called},
        unlabelled=unlabelled,
    )


def _check_left_out(
    predictions: Predictions, unlabelled: Sequence[str], any_shared: bool, labels: LabelTable, source: str
) -> None:
    twice = [name for name in unlabelled if finding_named(name, labels.findings) is not None]
    if twice:
        finding = finding_named(twice[0], labels.findings)
        raise DataError(f"{predictions.source}: two columns are both probabilities of {finding!r}: leave one out")
    known = tuple(dict.fromkeys((*NIH_FINDINGS, *CHEXPERT_FINDINGS)))
    of_other_tool = predictions.reader.columns is not None
    strange = [name for name in unlabelled if of_other_tool and finding_named(name, known) is None]
    softmax = predictions.task == TASKS[1] or predictions.reader.softmax
    if unlabelled and (strange or softmax or not any_shared):
        name = (strange or unlabelled)[0]
        raise DataError(
            f"{predictions.source}: {name!r} is not a finding of {source}: expected {PREFIX}NAME with NAME one of "
            + ", ".join(labels.findings)
        )


def _told_left_out(unlabelled: Sequence[str], source: str) -> str | None:
    """Says which findings are left out."""
    names = ", ".join(unlabelled)
    return f"{len(unlabelled)} findings have no labels in {source} and are left out: {names}" if unlabelled else None
