"""Does the work of one task of the prepare job: reads, decodes and resizes images, and writes one Parquet file.

No Spark is imported here.
"""

from __future__ import annotations

import builtins
import hashlib
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr_spark.imaging.dicom.gate import DicomGate
from cxr_spark.imaging.perceptual import both_hashes
from cxr_spark.imaging.prepare import PreparedImage, prepare_image, use_one_thread
from cxr_spark.imaging.reading import ahead, read_image_file
from cxr_spark.imaging.rejected import ImageRejected
from cxr_spark.imaging.resize import ResizeMode
from cxr_spark.preparation.plan import Part
from cxr_spark.storage.store import Store
from cxr_spark.tables.quarantine import write_quarantine
from cxr_spark.tables.schema import PREPARED, QUARANTINE

DATA, QUARANTINE_FOLDER = "data", "quarantine"
#: Under this key of a Parquet footer Spark keeps its own schema, with the metadata of the columns.
SPARK_SCHEMA_KEY = b"org.apache.spark.sql.parquet.row.metadata"

#: Bytes of pixels in a row group: readers skip row groups by image_index, and memory holds two of them.
_ROW_GROUP_BYTES = 4 * 2**20
#: zstd at its fastest takes a tenth off the pixels of radiographs for 0.2 ms an image, and reads as fast as none.
_COMPRESSION: dict[str, Any] = {"compression": "zstd", "compression_level": 1}


@dataclass(frozen=True)
class WrittenFile:
    """What the driver learns about a written file: counts, but not contents.

    Attributes:
        name: path below the output folder.
        split: split of its images; None for quarantine.
        rows: number of images.
        bytes: size.
        sha256: of the contents.
        positives: images with each finding, in the order of the findings.
        patients: names of its patients.
        reasons: quarantined images by reason.
        used_bits: PNGs of 16 bits by the bits that their highest value needs.
        names: `image_index` of its prepared images.
        hashes: their perceptual hashes, `perceptual.HASH_BYTES` each.
        doubts: DICOM images that were taken though they may not be what is wanted, by reason.
    """

    name: str
    split: str | None
    rows: int
    bytes: int
    sha256: str
    positives: tuple[int, ...] = ()
    patients: frozenset[str] = frozenset()
    reasons: dict[str, int] = field(default_factory=dict)
    used_bits: dict[int, int] = field(default_factory=dict)
    doubts: dict[str, int] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    hashes: builtins.bytes = b""


@dataclass(frozen=True)
class PartWriter:
    """Prepares parts. Spark sends this object to the executors.

    Attributes:
        out: URI of the output folder.
        size: side of the stored images, pixels.
        mode: how an image becomes a square.
        spark_schema: JSON of the Spark schema of the data files.
        white_level: the value of a PNG with 16 bits that is white; None for 65535.
        gate: which DICOM images are taken.
    """

    out: str
    size: int
    mode: ResizeMode
    spark_schema: str
    white_level: int | None = None
    gate: DicomGate = field(default_factory=DicomGate)

    def __call__(self, parts: Iterable[Part]) -> Iterator[WrittenFile]:
        """Writes the data and quarantine files of each part.

        Raises:
            RunError: a file cannot be written.
        """
        use_one_thread()
        for part in parts:
            yield from self.write(part)

    def write(self, part: Part) -> list[WrittenFile]:
        """Writes the files of one part: prepared images, and those that were rejected, where there are any.

        A file is built in memory and written in one atomic step under a name of its own, so a task that dies leaves
        nothing or a whole file that the driver knows nothing of, and deletes.
        """
        data = _DataFile(self.size, self.spark_schema)
        rejected: list[dict[str, str]] = []
        rows = part.images.to_pylist()
        for row, content in zip(rows, ahead(rows, _read), strict=True):
            try:
                contents = content.result()
                seen = self.gate.look(contents)
                image = prepare_image(contents, self.size, self.mode, self.white_level)
            except ImageRejected as error:
                rejected.append({**row, "reason": error.reason, "detail": error.detail})
                continue
            data.append(row, image, seen.doubts)
        store = Store(self.out)
        attempt = secrets.token_hex(8)
        written = []
        if data.rows:
            name = f"{DATA}/split={part.split}/part-{part.number:05d}-{attempt}.parquet"
            written.append(data.write(store, name, part.split))
        if rejected:
            name = f"{QUARANTINE_FOLDER}/part-{part.number:05d}-{attempt}.parquet"
            written.append(quarantine_record(store, name, pa.Table.from_pylist(rejected, schema=QUARANTINE)))
        return written


def table_record(store: Store, name: str, table: pa.Table) -> WrittenFile:
    """Writes a table beside the data, and returns its record."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = memoryview(sink.getvalue())
    store.write_bytes(name, content)
    return _record(name, content, split=None, rows=table.num_rows)


def quarantine_record(store: Store, name: str, table: pa.Table) -> WrittenFile:
    """Writes a quarantine file, columns of `schema.QUARANTINE`, and returns its record."""
    reasons = Counter(table["reason"].to_pylist())
    content = write_quarantine(store, name, table)
    return _record(name, content, split=None, rows=table.num_rows, reasons=dict(sorted(reasons.items())))


class _DataFile:
    """Collects prepared images, and compresses them a row group at a time."""

    def __init__(self, size: int, spark_schema: str) -> None:
        self.rows = 0
        self._columns: dict[str, list[Any]] = {name: [] for name in PREPARED.names}
        self._group_rows = max(1, _ROW_GROUP_BYTES // size**2)
        self._sink = pa.BufferOutputStream()
        small = [name for name in PREPARED.names if name not in ("pixels", "labels")]
        self._writer = pq.ParquetWriter(
            self._sink,
            PREPARED.with_metadata({SPARK_SCHEMA_KEY: spark_schema}),
            use_dictionary=[name for name in small if name not in ("image_index", "uri")],
            write_statistics=small,
            **_COMPRESSION,
        )
        self._positives = 0
        self._patients: set[str] = set()
        self._used_bits: Counter[int] = Counter()
        self._doubts: Counter[str] = Counter()
        self._names: list[str] = []
        self._hashes: list[bytes] = []

    def append(self, row: dict[str, Any], image: PreparedImage, doubts: Iterable[str] = ()) -> None:
        cells = {**row, "pixels": image.pixels.tobytes(), "height": image.height, "width": image.width}
        for name, values in self._columns.items():
            values.append(cells[name])
        if image.used_bits is not None:
            self._used_bits[image.used_bits] += 1
        self._doubts.update(doubts)
        self._names.append(row["image_index"])
        self._hashes.append(both_hashes(image.pixels))
        self.rows += 1
        self._positives = self._positives + (np.asarray(row["labels"], dtype=np.float32) == 1)
        if row["patient_id"] is not None:
            self._patients.add(row["patient_id"])
        if self.rows % self._group_rows == 0:
            self._flush()

    def write(self, store: Store, name: str, split: str) -> WrittenFile:
        self._flush()
        self._writer.close()
        positives = tuple(np.asarray(self._positives, dtype=int).tolist())
        content = memoryview(self._sink.getvalue())
        store.write_bytes(name, content)
        return _record(
            name,
            content,
            split=split,
            rows=self.rows,
            positives=positives,
            patients=frozenset(self._patients),
            used_bits=dict(self._used_bits),
            doubts=dict(self._doubts),
            names=tuple(self._names),
            hashes=b"".join(self._hashes),
        )

    def _flush(self) -> None:
        if self._columns["image_index"]:
            self._writer.write_table(pa.Table.from_pydict(self._columns, schema=PREPARED))
        for values in self._columns.values():
            values.clear()


def _record(name: str, content: memoryview, **counts: Any) -> WrittenFile:
    return WrittenFile(name=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest(), **counts)


def _read(row: dict[str, Any]) -> bytes:
    return read_image_file(row["uri"], row["size"])
