"""The Parquet file of the ledger: its columns, and the settings of the scores in a note beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),  # bytes
        pa.field("modified", pa.float64(), nullable=False),  # seconds since the epoch
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("image_index", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)
#: The key of the note in the file's metadata.
_NOTE = b"cxr_spark.settings"


def settings_of(schema: pa.Schema) -> Mapping[str, Any] | None:
    """Returns the settings that a ledger's file names; None where it names none, as those of earlier versions.

    Args:
        schema: the schema of the file, with its metadata.

    Raises:
        ValueError: the note is no JSON object.
    """
    note = (schema.metadata or {}).get(_NOTE)
    if note is None:
        return None
    try:
        found = json.loads(note)
    except RecursionError:
        raise ValueError("its note of settings is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("its note of settings is no JSON object")
    return found


def write(batches: Iterable[pa.RecordBatch], settings: Mapping[str, Any] | None) -> memoryview:
    """Returns a Parquet file of some batches. Its buffer is all that it takes of memory.

    Args:
        batches: the rows.
        settings: the settings of the scores as JSON values; None to name none.
    """
    sink = pa.BufferOutputStream()
    schema = SCHEMA if settings is None else SCHEMA.with_metadata({_NOTE: json.dumps(settings)})
    with pq.ParquetWriter(
        sink, schema, compression="zstd", use_dictionary=["model_id", "file", "reason"], write_statistics=False
    ) as writer:
        for batch in batches:
            if len(batch):
                writer.write_batch(batch.cast(SCHEMA))
    return memoryview(sink.getvalue())
