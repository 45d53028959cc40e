"""Sex, age and view from the headers of DICOM images, which must be known before images are chosen.

This is a pass of its own over the images that have a label: the executors read the first kilobytes of each. The pixels
are left for the pass that prepares them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from cxr_spark.datasets.base import LabelTable
from cxr_spark.datasets.columns import MAX_AGE_YEARS, SEXES, parse_age
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
#: DICOM's ViewPosition codes (PS3.3, C.8.11.1 and CR's C.8.1.1): from the left and from the right is lateral.
_VIEWS: Mapping[str, str] = MappingProxyType(
    {"PA": "PA", "AP": "AP", **dict.fromkeys(("LL", "RL", "LATERAL", "LAT"), "LATERAL")}
)


class _Known(NamedTuple):
    sex: str | None
    age: float | None
    view_position: str | None


def with_headers(spark: SparkSession, labels: LabelTable, uris: Mapping[str, str]) -> LabelTable:
    """Adds sex, age and view from the headers of the images to the labels.

    Args:
        spark: the session.
        labels: rows whose sex, age and view are not known.
        uris: the URI of the image of each `image_index`.

    Returns:
        The labels. More notes: `headers_unreadable`, `ages_over_120`, `ages_unknown`, `sexes_unknown` and
        `view_positions_unknown`: images whose header says something that is not understood, or nothing.
    """
    names = [name for name in labels.table["image_index"].to_pylist() if name in uris]
    started = time.monotonic()
    parts = _parts([uris[name] for name in names], spark.sparkContext.defaultParallelism)
    people = dict(zip(names, run_parts(spark, parts, read_headers, "reading headers"), strict=True))
    log.info("read %d headers in %.1f s", len(names), time.monotonic() - started)
    unreadable = sum(person is None for person in people.values())
    warnings = labels.warnings
    if unreadable:
        told = (
            f"the headers of {unreadable} of {len(people)} images cannot be read: sex, age and view of these are "
            "unknown (images that cannot be used at all are listed in the quarantine)"
        )
        warnings = (*warnings, told)
    read = {name: _understood(person) for name, person in people.items() if person is not None}
    over = {name for name, row in read.items() if row.age is not None and row.age > MAX_AGE_YEARS}
    known = {name: row._replace(age=None) if name in over else row for name, row in read.items()}
    nothing = _Known(None, None, None)
    rows = [known.get(name, nothing) for name in labels.table["image_index"].to_pylist()]
    table = labels.table
    for column in _Known._fields:
        at = table.schema.get_field_index(column)
        values = pa.array([getattr(row, column) for row in rows], type=table.schema.field(at).type)
        table = table.set_column(at, table.schema.field(at), values)
    notes = {
        "headers_unreadable": len(people) - len(known),
        "ages_over_120": len(over),
        "ages_unknown": sum(row.age is None for row in known.values()) - len(over),
        "sexes_unknown": sum(row.sex is None for row in known.values()),
        "view_positions_unknown": sum(row.view_position is None for row in known.values()),
    }
    return replace(labels, table=table, notes={**labels.notes, **notes}, warnings=warnings)


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


def _understood(person: Person) -> _Known:
    try:
        age = parse_age(person.age)
    except ValueError:
        age = None
    return _Known(SEXES.get(person.sex.upper()), age, _VIEWS.get(person.view_position.upper()))
