"""Patient, sex, age and view from the headers of DICOM images, which must be known before images are chosen.

This is a pass of its own over the images that have a label: the executors read the first kilobytes of each. The pixels
are left for the pass that prepares them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.columns import MAX_AGE_YEARS
from cxr_spark.datasets.csv_table import shorten
from cxr_spark.datasets.persons import Facts, understood
from cxr_spark.errors import RunError, StorageAwayError
from cxr_spark.imaging.dicom.person import HEADER_BYTES, LONGER_HEADER_BYTES, HeaderCutError, Person, read_person
from cxr_spark.imaging.reading import ahead
from cxr_spark.imaging.rejected import ImageRejected
from cxr_spark.runtime.tasks import run_parts
from cxr_spark.storage.store import read_uri

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

#: The lowest number of headers for one task: starting a task takes as long as reading some hundreds of headers.
_MIN_PART = 256
_PARTS_PER_CORE = 4


#: Suffixes of images that are not DICOM, whose headers say nothing of patients.
_NO_DICOM = (".png", ".jpg", ".jpeg", ".jfif", ".jpe")


def with_headers(
    spark: SparkSession, labels: LabelTable, uris: Mapping[str, str], *, patient_first: bool = False
) -> LabelTable:
    """Adds what the labels do not tell of patient, sex, age and view from the headers of DICOM images.

    Args:
        spark: the session.
        labels: the labels.
        uris: the URI of the image of each `image_index`.
        patient_first: whether the patient in a header goes before that of the labels.

    Returns:
        The labels; unchanged where no header can add anything. More notes: `headers_unreadable`, `ages_over_120`, and
        of the images whose headers were read `ages_unknown`, `sexes_unknown`, `view_positions_unknown` and
        `patients_unknown`: those of which neither the labels nor the header tell it.
    """
    if all(uri.lower().endswith(_NO_DICOM) for uri in uris.values()):
        return labels  # there may be millions, and each row takes a kilobyte as Python objects
    rows = labels.table.select(["image_index", *Facts._fields]).to_pylist()
    asked = [row for row in rows if row["image_index"] in uris and (patient_first or None in row.values())]
    asked = [row for row in asked if not uris[row["image_index"]].lower().endswith(_NO_DICOM)]
    if not asked:
        return labels
    started = time.monotonic()
    parts = _parts([uris[row["image_index"]] for row in asked], spark.sparkContext.defaultParallelism)
    people = run_parts(spark, parts, read_headers, "reading headers")
    log.info("read %d headers in %.1f s", len(asked), time.monotonic() - started)
    return _completed(labels, rows, asked, people, patient_first)


def _completed(
    labels: LabelTable,
    rows: list[dict[str, Any]],
    asked: Sequence[dict[str, Any]],
    people: Sequence[Person | None],
    patient_first: bool,
) -> LabelTable:
    """Writes what headers say into rows, and makes labels of them."""
    unreadable = sum(person is None for person in people)
    warnings = list(labels.warnings)
    if unreadable:
        warnings.append(
            f"the headers of {unreadable} of {len(people)} images cannot be read: patient, sex, age and view of these "
            "are what the labels tell (images that cannot be used at all are listed in the quarantine)"
        )
    patients = {person.patient_id for person in people if person is not None and person.patient_id}
    is_placeholder = len(patients) == 1 and len(people) - unreadable > 2
    if is_placeholder:
        warnings.append(
            f"the headers of all {len(people) - unreadable} images name the same patient "
            f"{shorten(next(iter(patients)))!r}: this was taken for a placeholder, and not for one person"
        )
    over = 0
    for row, person in zip(asked, people, strict=True):
        if person is None:
            continue
        read = understood(person)
        if read.age is not None and read.age > MAX_AGE_YEARS:
            over, read = over + 1, read._replace(age=None)
        if is_placeholder:
            read = read._replace(patient_id=None)
        for name, value in read._asdict().items():
            if row[name] is None or (name == "patient_id" and patient_first and value is not None):
                row[name] = value
    table = labels.table
    for column in Facts._fields:
        at = table.schema.get_field_index(column)
        values = pa.array([row[column] for row in rows], type=table.schema.field(at).type)
        table = table.set_column(at, table.schema.field(at), values)
    notes = {
        "headers_unreadable": unreadable,
        "ages_over_120": labels.notes.get("ages_over_120", 0) + over,
        "ages_unknown": table["age"].null_count - labels.notes.get("ages_over_120", 0) - over,
        "sexes_unknown": table["sex"].null_count,
        "view_positions_unknown": table["view_position"].null_count,
        "patients_unknown": table["patient_id"].null_count,
    }
    return replace(labels, table=table, notes={**labels.notes, **notes}, warnings=tuple(warnings))


def read_headers(parts: Iterable[Sequence[str]]) -> Iterator[Person | None]:
    """Reads headers on an executor. Yields one result for each URI, None if the header cannot be read."""
    for uris in parts:
        for person in ahead(uris, _read):
            yield person.result()


def _read(uri: str) -> Person | None:
    """Reads as much of a file as its header needs."""
    for limit in (HEADER_BYTES, *LONGER_HEADER_BYTES):
        try:
            data = read_uri(uri, limit)
            return read_person(data, whole=len(data) < limit)
        except HeaderCutError:
            continue
        except StorageAwayError:
            raise
        except (RunError, FileNotFoundError, ImageRejected):  # the pass over the pixels judges the image and says why
            return None
    return None


def _parts(uris: Sequence[str], cores: int) -> list[Sequence[str]]:
    size = max(_MIN_PART, -(-len(uris) // (_PARTS_PER_CORE * cores)))
    return [uris[start : start + size] for start in range(0, len(uris), size)]
