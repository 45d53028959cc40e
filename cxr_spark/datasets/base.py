"""The table of labels that every dataset reader returns, with one row for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cxr_spark.datasets.csv_table import shorten
from cxr_spark.errors import DataError
from cxr_spark.tables.schema import LABELS

#: The columns of `LabelTable.table`: `schema.LABELS` before the images are assigned to splits.
UNSPLIT_LABELS: pa.Schema = LABELS.remove(LABELS.get_field_index("split"))


class LabelFile(NamedTuple):
    """A label file: its bytes, gzipped or not, and its URI for messages."""

    data: bytes
    source: str


@dataclass(frozen=True)
class LabelTable:
    """The labels of a dataset, before any image is read.

    Attributes:
        table: one row for each image, with the columns of `UNSPLIT_LABELS`; each `image_index` occurs once.
        findings: the names of the findings; `labels` of every row has one value for each, in this order.
        notes: the number of rows that were dropped or changed while reading, by kind.
        given_split: the values of the file's own `split` column, one for each row of `table`; None where the file has
            no such column.
        official_split: the splits that the dataset's makers gave, one for each row; None where the labels do not tell
            them.
        patients_by_name: whether the patients were read from the names of files. Such names are counted anew in each of
            a dataset's own splits, so that one name in two splits means two patients.
        patients_are_images: whether the labels name each image as a patient of its own, so that only the header of a
            DICOM image can tell which images are of one person.
        warnings: what was guessed or left out while reading, each with what to do about it.
        usual_split: the method of `splits.METHODS` that this dataset takes where the user names none.
    """

    table: pa.Table
    findings: tuple[str, ...]
    notes: Mapping[str, int] = field(default_factory=dict)
    given_split: pa.Array | None = None
    official_split: pa.Array | None = None
    patients_by_name: bool = False
    patients_are_images: bool = False
    usual_split: str = "official"
    warnings: tuple[str, ...] = ()

    def filtered(self, keep: NDArray[np.bool_]) -> LabelTable:
        """Returns the labels of the rows that a mask of shape (rows,) marks."""
        mask = pa.array(keep)
        given, official = (
            None if values is None else values.filter(mask) for values in (self.given_split, self.official_split)
        )
        return replace(self, table=self.table.filter(mask), given_split=given, official_split=official)


def merged(tables: Sequence[LabelTable]) -> LabelTable:
    """Joins the labels of several files of one kind into one table.

    Args:
        tables: one or more, of the same findings.

    Returns:
        All rows in order, the notes added up, and a `given_split` if every file has one.

    Raises:
        DataError: an image is in two files.
    """
    first = tables[0]
    if len(tables) == 1:
        return first
    table = pa.concat_tables([each.table for each in tables])
    index = table["image_index"].to_pandas()
    twice = index[index.duplicated()]
    if len(twice):
        raise DataError(f"image {shorten(twice.iloc[0])!r} is in two label files ({len(twice)} are): keep one of them")
    notes = {name: sum(each.notes.get(name, 0) for each in tables) for name in first.notes}
    given = [each.given_split for each in tables]
    whole = None if any(values is None for values in given) else pa.concat_arrays(given)
    warnings = tuple(line for each in tables for line in each.warnings)
    return replace(first, table=table, notes=notes, given_split=whole, warnings=warnings)


def label_table(
    image_index: Sequence[str],
    patient_id: Sequence[str | None],
    labels: NDArray[np.float32],
    *,
    view_position: Sequence[str | None] | None = None,
    sex: Sequence[str | None] | None = None,
    age: Sequence[float | None] | None = None,
) -> pa.Table:
    """Builds a table of `UNSPLIT_LABELS` from columns.

    A missing value is None or, as in columns of pandas 3, NaN.

    Args:
        image_index: names of the images, n of them.
        patient_id: patients, None where not known.
        labels: float32 array of shape (n, n_findings): 1 present, 0 absent, NaN not known.
        view_position: PA, AP or None; all None by default.
        sex: M, F or None; all None by default.
        age: years or None; all None by default.

    Returns:
        An Arrow table with n rows.
    """
    rows, width = labels.shape
    unknown = [None] * rows
    columns = {
        "image_index": image_index,
        "patient_id": patient_id,
        "view_position": unknown if view_position is None else view_position,
        "sex": unknown if sex is None else sex,
        "age": unknown if age is None else age,
    }
    # pandas 3 gives NaN for a string that is missing, older ones gave None: both become null.
    types = {name: UNSPLIT_LABELS.field(name).type for name in columns}
    arrays = [pa.array(values, type=types[name], from_pandas=True) for name, values in columns.items()]
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(width))
    arrays.append(pa.ListArray.from_arrays(offsets, pa.array(labels.reshape(-1))))
    return pa.Table.from_arrays(arrays, schema=UNSPLIT_LABELS)
