"""The table of images that a job could not take, which `prepare`, `score` and `explain` write alike."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_spark.storage.store import Store


def write_quarantine(store: Store, name: str, table: pa.Table) -> memoryview:
    """Writes a file of the quarantine.

    Args:
        store: the output of the job.
        name: the name of the file below it.
        table: the refused images, columns of `schema.QUARANTINE`.

    Returns:
        What was written, for those who record its size and hash.

    Raises:
        RunError: it cannot be written.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = memoryview(sink.getvalue())
    store.write_bytes(name, content)
    return content
