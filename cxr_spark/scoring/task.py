"""One task of the score job: reads images, computes probabilities, and writes one Parquet file. No Spark here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cxr_spark.imaging.dicom.gate import DicomGate, Seen
from cxr_spark.imaging.prepare import use_one_thread
from cxr_spark.imaging.reading import ahead, read_image_file
from cxr_spark.imaging.rejected import ImageRejected
from cxr_spark.scoring.ensemble import ReadyEnsemble, ShippedEnsemble
from cxr_spark.scoring.headers import header_facts
from cxr_spark.scoring.labels import labels_in_order
from cxr_spark.scoring.plan import Part, PreparedPart, RawImage, RawPart
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import binary_images
from cxr_spark.tables.prepared_files import naming_damage, read_batches
from cxr_spark.tables.quarantine import write_quarantine
from cxr_spark.tables.schema import DICOM_UIDS, PREDICTIONS, QUARANTINE, RAW_PREDICTIONS
from cxr_spark.tables.score_columns import ScoreForm, as_csv

#: The folder of the quarantine. Spark's readers skip folders whose names begin with _.
QUARANTINE_FOLDER = "_quarantine"
#: The key in the footer of a Parquet file under which the findings stand, in the order of the probabilities (JSON).
FINDINGS_KEY = b"findings"
#: The key under which the task of the model stands, `multi_label` or `single_label` (JSON).
TASK_KEY = b"task"

_FACTS = ("image_index", "patient_id", "view_position", "sex", "age")


@dataclass(frozen=True)
class ScoredPart:
    """The result of a part, as the driver gets it: counts, never images.

    Attributes:
        names: the names of the files that were written, below the output folder.
        images: the number of scored images.
        quarantined: the number of images that could not be read, by reason.
        doubts: the number of DICOM images that were scored though they may not be what the model is for, by reason.
    """

    names: tuple[str, ...]
    images: int
    quarantined: dict[str, int] = field(default_factory=dict)
    doubts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PartScorer:
    """Scores parts. Spark sends it to the executors.

    Attributes:
        out: the URI of the output folder.
        tag: a text in the names of all files. A task that runs twice has the same tag, so that it replaces its file
            with an equal one.
        model: the models; most often one.
        data: the URI of the prepared dataset; None for raw images.
        labels: what `plan.label_order` returned; empty for raw images.
        threads: the number of CPU threads of a task.
        batch: the number of images in a forward pass.
        gate: the rule by which raw DICOM images are scored or refused.
        form: the form in which the scores are written.
        model_id: the `model_id` in the rows; None for that of `model`. The models of a cross-validation, each of which
            scores the images of its own fold, all write the joint one.
    """

    out: str
    tag: str
    model: ShippedEnsemble
    data: str | None
    labels: tuple[int | None, ...]
    threads: int
    batch: int
    gate: DicomGate = field(default_factory=DicomGate)
    form: ScoreForm = field(default_factory=ScoreForm)
    model_id: str | None = None

    def __call__(self, parts: Iterable[Part]) -> Iterator[ScoredPart]:
        """Writes the predictions of each part, and the quarantine of its unreadable images.

        Raises:
            DataError: the prepared data or the model are damaged.
            RunError: a file cannot be read or written.
        """
        use_one_thread()
        for part in parts:
            model = self.model.on_worker(self.threads)
            yield self._raw(part, model) if isinstance(part, RawPart) else self._prepared(part, model)

    def _prepared(self, part: PreparedPart, model: ReadyEnsemble) -> ScoredPart:
        store = Store(self.data or "")
        tables = []
        columns = (*_FACTS, "labels", "pixels")
        batches = read_batches(store, part.name, columns, self.batch, part.sha256)
        for rows in chosen_rows(batches, part.rows, self.batch):
            with naming_damage(store.uri_of(part.name)):
                labels, pixels = labels_in_order(rows, self.labels), binary_images(rows["pixels"])
            probabilities = model.predict([pixels] * len(model.models), self.batch)
            tables.append(self._predictions(rows, labels, part.split, probabilities, model))
        table = pa.concat_tables(tables) if tables else PREDICTIONS.empty_table()
        return ScoredPart((self._write(part.number, table, model),), table.num_rows)

    def _predictions(
        self,
        rows: pa.RecordBatch,
        labels: NDArray[np.float32],
        split: str,
        probabilities: NDArray[np.float32],
        model: ReadyEnsemble,
    ) -> pa.Table:
        facts = {name: rows[name] for name in _FACTS}
        return self._table(facts, [split] * len(rows), _lists(labels), probabilities, model)

    def _raw(self, part: RawPart, model: ReadyEnsemble) -> ScoredPart:
        def pixels(image: RawImage) -> tuple[list[NDArray[np.uint8]], Seen]:
            data = read_image_file(image.uri, image.size)
            seen = self.gate.look(data)
            return model.inputs(data), seen

        def predict(images: list[list[NDArray[np.uint8]]]) -> NDArray[np.float32]:
            return model.predict([np.stack(of_one) for of_one in zip(*images, strict=True)], self.batch)

        facts: list[dict[str, Any]] = []
        doubts: Counter[str] = Counter()
        waiting: list[list[NDArray[np.uint8]]] = []
        results: list[NDArray[np.float32]] = []
        rejected: list[dict[str, str]] = []
        prepared = ahead(part.images, pixels, depth=2 * self.batch, threads=self.threads)
        for image, future in zip(part.images, prepared, strict=True):
            try:
                squares, seen = future.result()
            except ImageRejected as error:
                row = {"image_index": image.image_index, "uri": image.uri}
                rejected.append({**row, "reason": error.reason, "detail": error.detail})
                continue
            waiting.append(squares)
            facts.append({"image_index": image.image_index, **header_facts(seen.header)})
            doubts.update(seen.doubts)
            if len(waiting) == self.batch:
                results.append(predict(waiting))
                waiting.clear()
        if waiting:
            results.append(predict(waiting))
        written = []
        if facts:
            columns = {name: [row.get(name) for row in facts] for name in (*_FACTS, *DICOM_UIDS)}
            nothing = [None] * len(facts)
            table = self._table(columns, nothing, nothing, np.concatenate(results), model, RAW_PREDICTIONS)
            written.append(self._write(part.number, table, model))
        if rejected:
            table = pa.Table.from_pylist(rejected, schema=QUARANTINE)
            written.append(write_quarantine_part(Store(self.out), f"{part.number:05d}-{self.tag}", table))
        refused = Counter(row["reason"] for row in rejected)
        return ScoredPart(tuple(written), len(facts), dict(refused), dict(doubts))

    def _table(
        self,
        facts: dict[str, Any],
        splits: list[Any],
        labels: Any,
        probabilities: NDArray[np.float32],
        model: ReadyEnsemble,
        schema: pa.Schema = PREDICTIONS,
    ) -> pa.Table:
        columns = {
            **facts,
            "split": splits,
            "labels": labels,
            "probabilities": _lists(probabilities),
            "model_id": [self.model_id or model.model_id] * len(splits),
            "engine": [model.engine.name] * len(splits),
            "precision": [model.engine.precision] * len(splits),
        }
        return pa.table(columns, schema=schema)

    def _write(self, number: int, table: pa.Table, model: ReadyEnsemble) -> str:
        about = {
            FINDINGS_KEY: json.dumps(list(model.findings)),
            TASK_KEY: json.dumps(model.task),
        }
        whole = self.form.complete(table, model.findings)
        return _write(Store(self.out), f"part-{number:05d}-{self.tag}{self.form.suffix}", whole, about)


def chosen_rows(batches: Iterable[pa.RecordBatch], rows: tuple[int, ...] | None, size: int) -> Iterator[pa.RecordBatch]:
    """Yields the wanted rows of a file, gathered into batches; where none are named, all as they come.

    Args:
        batches: the batches of the file, each of `size` rows at the most.
        rows: the numbers of the wanted rows in the file, in order; None for all.
        size: the most rows of a batch.
    """
    if rows is None:
        yield from batches
        return
    wanted, first = np.asarray(rows, np.int64), 0
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        here = wanted[(wanted >= first) & (wanted < first + len(batch))] - first
        first += len(batch)
        if len(here) + sum(map(len, waiting)) > size:
            yield from _joined(waiting)
            waiting = []
        if len(here):
            waiting.append(batch.take(pa.array(here)))
    yield from _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    return pa.Table.from_batches(batches).combine_chunks().to_batches() if batches else []


def write_quarantine_part(store: Store, part: str, table: pa.Table) -> str:
    """Writes a quarantine file, columns of `schema.QUARANTINE`, and returns its name."""
    name = f"{QUARANTINE_FOLDER}/part-{part}.parquet"
    write_quarantine(store, name, table)
    return name


def _write(store: Store, name: str, table: pa.Table, metadata: dict[bytes, str]) -> str:
    if name.endswith(".csv"):
        store.write_bytes(name, as_csv(table))
        return name
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
    store.write_bytes(name, memoryview(sink.getvalue()))
    return name


def _lists(matrix: NDArray[np.float32]) -> pa.ListArray:
    offsets = np.arange(len(matrix) + 1, dtype=np.int32) * matrix.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(matrix).reshape(-1)))
