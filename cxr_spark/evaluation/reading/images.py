"""Joins rows of predictions with labels, and checks them before they become (curve, score) pairs.

This runs on executors, on Arrow batches, a column at a time. Nothing here needs Spark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cxr_spark.datasets.matching import NameMatcher
from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.groupings import GROUPINGS, SPLIT

#: The further columns that predictions or label files may have.
FACTS = ("patient_id", "view_position", "sex", "age", "split", "model_id")

#: A checked image.
IMAGES = pa.schema(
    [
        pa.field("image_index", pa.string()),
        pa.field("patient", pa.int64()),  # hash of the patient, or of the image where the patient is not known
        pa.field("patient_known", pa.bool_()),
        *(pa.field(name, pa.string()) for name in (*GROUPINGS, SPLIT, "model_id")),
        pa.field("labels", pa.list_(pa.float64())),  # NaN: not known; null: no label row names the image
        pa.field("scores", pa.list_(pa.float64())),
        pa.field("matched", pa.string()),  # how its label row was found, one of `matching.WAYS`; null: by its name
        pa.field("clipped", pa.int32()),  # how many scores left 0..1 by rounding and were put back
        pa.field("fault", pa.string()),  # what is wrong with it, in words
    ]
)
ArrowFunction = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]

_BAND_YEARS, _LAST_BAND = 20, 80
_QUOTED = 80
_FAULT_CHARACTERS = 400
#: By how much a probability may leave 0..1: float32 sums of a softmax, and decimals that were rounded, do.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Truth:
    """Labels from a file of their own.

    Attributes:
        facts: `image_index`, each once, and the columns of `FACTS` that the file has.
        labels: shape (rows, findings of the predictions): 1 present, 0 absent, NaN not known.
        naming: a function from the name of an image in the predictions to its name in `facts`.
        warnings: what was guessed while the labels were read, in words.
    """

    facts: pa.Table
    labels: NDArray[np.float32]
    naming: Callable[[str], str] | None = None
    warnings: tuple[str, ...] = ()


def checker(findings: Sequence[str], truth: Truth | None) -> ArrowFunction:
    """Returns the function that turns rows of predictions into rows of `IMAGES`, both as Arrow batches.

    The predictions have `image_index`, `FACTS`, `labels` (list of numbers, or null), `scores` (list of numbers, or of
    texts as a CSV has them) and `malformed` (what is wrong already, or null).

    Args:
        findings: the finding of each position in `scores`.
        truth: labels to join; it wins over what the predictions say. None: the predictions have labels.
    """

    def check(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        known = None if truth is None else truth.facts.column("image_index").to_pylist()
        matcher = None if known is None else NameMatcher(known)
        for batch in batches:
            columns = {name: batch.column(i) for i, name in enumerate(batch.schema.names)}
            matched: list[str | None] = [None] * batch.num_rows
            if truth is None or matcher is None or known is None:
                labels, labelled, label_fault = _matrix(columns["labels"], len(findings))
            else:
                if truth.naming is not None:
                    columns["image_index"] = _renamed(columns["image_index"], truth.naming)
                names = columns["image_index"].to_pylist()
                rows, matched = matcher.find(names)
                if any(matched):  # two names of one image are that image twice
                    named = [known[row] if way else name for name, row, way in zip(names, rows, matched, strict=True)]
                    columns["image_index"] = pa.array(named, pa.string())
                labelled, label_fault = rows >= 0, np.zeros(len(rows), dtype=bool)
                labels = np.where(labelled[:, None], truth.labels[rows], np.nan).astype(np.float64)
                columns |= _known_facts(columns, truth.facts, pa.array(rows, mask=~labelled))
            columns["matched"] = pa.array(matched, pa.string())
            yield _checked(columns, findings, labels, labelled, label_fault)

    return check


def _renamed(names: pa.Array, naming: Callable[[str], str]) -> pa.Array:
    return pa.array([None if name is None else naming(name) for name in names.to_pylist()], pa.string())


def _known_facts(columns: Mapping[str, Any], facts: pa.Table, rows: pa.Array) -> dict[str, Any]:
    found = facts.take(rows).combine_chunks()
    result = {}
    for name in (name for name in FACTS if name in facts.column_names):
        column = found.column(name).combine_chunks()
        result[name] = pc.coalesce(column, columns[name].cast(column.type))
    return result


def _matrix(column: pa.Array, width: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Reads a list column as a matrix; texts that are no numbers become NaN.

    Returns:
        float64 of shape (rows, width), NaN in rows without a list of that length; which rows have a list; which have
        one of another length.
    """
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    fits = lengths == width
    values = column.filter(pa.array(fits)).flatten()
    if pa.types.is_string(values.type):
        values = _numbers(values)
    matrix = np.full((len(column), width), np.nan)
    matrix[fits] = values.cast(pa.float64()).to_numpy(zero_copy_only=False).reshape(-1, width)
    return matrix, lengths >= 0, (lengths >= 0) & ~fits


def _numbers(texts: pa.Array) -> pa.Array:
    try:
        return texts.cast(pa.float64())
    except pa.ArrowInvalid:  # rare, and then the job ends with an error
        return pa.array([_number(text) for text in texts.to_pylist()], pa.float64())


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _checked(
    columns: Mapping[str, Any],
    findings: Sequence[str],
    labels: NDArray[np.float64],
    labelled: NDArray[np.bool_],
    label_fault: NDArray[np.bool_],
) -> pa.RecordBatch:
    names = columns["image_index"].cast(pa.string())
    scores, _, _ = _matrix(columns["scores"], len(findings))
    patient_id = pc.utf8_trim_whitespace(columns["patient_id"].cast(pa.string())).to_pandas()
    known = (patient_id.notna() & (patient_id != "")).to_numpy()
    keys = np.where(known, "patient " + patient_id.fillna(""), "image " + names.to_pandas().fillna(""))
    clipped = ((scores < 0) & (scores >= -ROUNDING)) | ((scores > 1) & (scores <= 1 + ROUNDING))
    scores = np.where(clipped, np.clip(scores, 0, 1), scores)
    bad_score = ~((scores >= 0) & (scores <= 1))  # NaN is bad
    bad_label = ~(np.isnan(labels) | (labels == 0) | (labels == 1)) | label_fault[:, None]
    nameless = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(names), ""), True).to_numpy(zero_copy_only=False)
    malformed = columns["malformed"].is_valid().to_numpy(zero_copy_only=False)
    faults: list[str | None] = [None] * len(names)
    for row in np.flatnonzero(bad_score.any(axis=1) | bad_label.any(axis=1) | nameless | malformed).tolist():
        faults[row] = _fault(columns, findings, row, bad_score[row], labels[row])
    offsets = pa.array(np.arange(len(names) + 1, dtype=np.int32) * np.int32(len(findings)))
    return pa.RecordBatch.from_arrays(
        [
            names,
            pa.array(pd.util.hash_array(keys.astype(object), categorize=False).view(np.int64)),
            pa.array(known),
            columns["sex"].cast(pa.string()),
            pa.array(_age_bands(columns["age"]), pa.string()),
            columns["view_position"].cast(pa.string()),
            columns["split"].cast(pa.string()),
            columns["model_id"].cast(pa.string()),
            pa.ListArray.from_arrays(offsets, pa.array(labels.ravel()), mask=pa.array(~labelled)),
            pa.ListArray.from_arrays(offsets, pa.array(scores.ravel())),
            columns["matched"],
            pa.array(clipped.sum(axis=1), pa.int32()),
            pa.array(faults, pa.string()),
        ],
        schema=IMAGES,
    )


def _fault(
    columns: Mapping[str, Any],
    findings: Sequence[str],
    row: int,
    bad_score: NDArray[np.bool_],
    labels: NDArray[np.float64],
) -> str:
    """Says what is wrong with a faulty row."""
    malformed, image = columns["malformed"][row].as_py(), columns["image_index"][row].as_py()
    if malformed is not None:
        return str(malformed)[:_FAULT_CHARACTERS]
    if image is None or not image.strip():
        return "a row has no image index"
    named, width = f"image {image[:_QUOTED]!r}", len(findings)
    for name, unit in (("scores", "probabilities"), ("labels", "labels")):
        values = columns[name][row].as_py()
        if values is None and name == "labels":
            continue
        if values is None or len(values) != width:
            return f"{named} has {0 if values is None else len(values)} {unit}, expected {width}"
        if name == "scores" and bad_score.any():
            place = int(np.argmax(bad_score))
            value = "" if values[place] is None else str(values[place])
            return not_a_probability(image, value, findings[place])
    place = int(np.argmax(~(np.isnan(labels) | (labels == 0) | (labels == 1))))
    return f"{named} has the label {labels[place]:g} for {findings[place]!r}: expected 0, 1, or NaN where not known"


def not_a_probability(image: str | None, value: str, finding: str) -> str:
    """Says that a score is no probability; the value is quoted as it stands in the table."""
    return (
        f"image {(image or '')[:_QUOTED]!r} has {value[:_QUOTED]!r} for {finding!r}: expected a probability from 0 to "
        "1, not a percentage; if these are logits, say so by --logits"
    )


def _age_bands(ages: pa.Array) -> list[str | None]:
    years = ages.cast(pa.float64()).to_numpy(zero_copy_only=False)
    bands = [f"{low}-{low + _BAND_YEARS - 1}" for low in range(0, _LAST_BAND, _BAND_YEARS)] + [f"{_LAST_BAND}+"]
    return [bands[int(min(y, _LAST_BAND)) // _BAND_YEARS] if y >= 0 else None for y in years]


def matrix_of(images: pa.Table, name: str, width: int) -> NDArray[np.float64]:
    """Returns the `labels` or `scores` of checked, labelled images: float64 of shape (rows, width).

    Raises:
        DataError: the rows are not all of that width: the table was changed since it was checked.
    """
    values = pc.list_flatten(images.column(name))
    if len(values) != images.num_rows * width:
        raise DataError(f"{name} of {images.num_rows} images hold {len(values)} values: expected {width} an image")
    return np.asarray(values.to_numpy(), dtype=np.float64).reshape(-1, width)
