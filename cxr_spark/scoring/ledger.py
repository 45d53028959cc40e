"""The ledger of incremental scoring: which image files were scored, by which model, and where their predictions are.

The ledger is one Parquet file. Replacing it is the commit of a run. Only the files that it names belong to the output.
A file that it names and that is not in its place yet lies below `_staged`, and is put into its place next.

Structured Streaming with `availableNow` would keep such a list, too, but by path alone: it skips a file that has
changed, knows nothing of models, and makes the folder exact only for Spark's own readers, through `_spark_metadata`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr_spark.errors import RunError
from cxr_spark.outputs.own_files import own_files
from cxr_spark.scoring.ledger_file import SCHEMA, settings_of, write
from cxr_spark.scoring.task import QUARANTINE_FOLDER
from cxr_spark.storage.store import Store

LEDGER_NAME = "_ledger.parquet"
#: The folder of files that are written and not yet in their places.
STAGED = "_staged"

#: The number of rows that are read at a time. They take some tens of megabytes.
_BATCH_ROWS = 1 << 17

_OWN_FILE = re.compile(rf"({QUARANTINE_FOLDER}/)?part-[^/]+\.parquet")


class Entry(NamedTuple):
    """One image file that was scored, or set aside.

    Attributes:
        uri: the full URI of the image file.
        size: its size in bytes.
        modified: the time of its last change in seconds since the epoch.
        model_id: the id of the model that scored it.
        image_index: the name of the image in the predictions.
        file: the name of the Parquet file that holds its row, below the output folder.
        reason: the reason why it is in quarantine; None where it has been scored.
    """

    uri: str
    size: int
    modified: float
    model_id: str
    image_index: str
    file: str
    reason: str | None


class Ledger:
    """The entries of an output folder, one for each image file and model.

    In memory it is the compressed Parquet file. Every look-up and every change reads its columns in batches, so that
    ten million entries take some hundred megabytes, and not a Python object each.

    Attributes:
        settings: the settings of the scores, which `commit` writes, too; None in ledgers of earlier versions.

    Args:
        store: the output folder.
        data: the Parquet file; None where there is none yet.

    Raises:
        RunError: the file is damaged, or names files that the score job does not write.
    """

    def __init__(self, store: Store, data: bytes | None = None) -> None:
        self._store = store
        self._entered: dict[tuple[str, str], Entry] = {}
        self._moved: dict[str, str] = {}
        self._set(data if data is not None else write([], None))

    @classmethod
    def read(cls, store: Store) -> Ledger:
        """Reads the ledger of a folder; it is empty where there is none.

        Raises:
            RunError: it cannot be read, or is damaged.
        """
        try:
            return cls(store, store.read_bytes(LEDGER_NAME))
        except FileNotFoundError:
            return cls(store)

    def __len__(self) -> int:
        return self._rows

    def known(self, uris: pa.Array, names: pa.Array, model_id: str) -> pa.Table:
        """Returns the entries of a model that have one of some URIs, or one of some names of images.

        Args:
            uris: the URIs of image files.
            names: the names of images.
            model_id: the id of the model.

        Returns:
            A table with the fields of `Entry` as its columns.
        """
        found = []
        for batch in self._batches(SCHEMA.names):
            named = pc.or_(pc.is_in(batch["uri"], value_set=uris), pc.is_in(batch["image_index"], value_set=names))
            found.append(batch.filter(pc.and_(named, pc.equal(batch["model_id"], model_id))))
        return pa.Table.from_batches(found, SCHEMA)

    def replace(self, entries: Sequence[Entry]) -> dict[str, list[Entry]]:
        """Enters images in place of what the ledger had of the same files. `commit` writes the change.

        Returns:
            The entries that were taken out, by the file in which their rows stand.
        """
        self._entered = {(entry.uri, entry.model_id): entry for entry in entries}
        out: dict[str, list[Entry]] = {}
        for batch in self._batches(SCHEMA.names):
            for row in batch.filter(self._is_replaced(batch)).to_pylist():
                out.setdefault(row["file"], []).append(Entry(**row))
        return out

    def moved(self, files: Mapping[str, str]) -> None:
        """Enters new names of Parquet files that were written anew. `commit` writes the change.

        Args:
            files: the new name for each former name.
        """
        self._moved = dict(files)

    def commit(self) -> None:
        """Writes the ledger with all changes."""
        data = write(self._changed_batches(), self.settings)
        self._store.write_bytes(LEDGER_NAME, data)
        self._entered, self._moved = {}, {}
        self._set(data)

    def unpublished(self) -> bool:
        """Whether the folder holds other files than the ledger names, or staged ones."""
        return bool(self._staged()) or self._visible() != self._files

    def publish(self) -> None:
        """Deletes the files that the ledger does not name, and puts staged files into their places.

        Where a run was killed in the middle of this, it is done to the end by the next call. Files that are out of date
        are deleted first, so that no reader ever finds an image twice.

        Raises:
            RunError: a file is gone.
        """
        store, wanted = self._store, self._files
        for name in sorted(self._visible() - wanted):
            store.delete(name)
        for name in sorted(wanted - self._visible()):
            try:
                store.write_bytes(name, store.read_bytes(f"{STAGED}/{name}"))
            except FileNotFoundError:
                raise RunError(f"{store.uri_of(name)} is gone: the ledger names it; score into a new --out") from None
        for name in sorted(self._staged()):
            store.delete(name)
        if store.exists(STAGED):
            store.remove_empty_folders(STAGED)
            store.remove_folder(STAGED)

    def _set(self, data: bytes | memoryview) -> None:
        """Takes a Parquet file as the ledger, after a check of its schema and of the file names in it."""
        where = self._store.uri_of(LEDGER_NAME)
        self._data = pa.py_buffer(data)
        self._files: set[str] = set()
        self._rows = 0
        try:
            for batch in self._batches(["file"]):
                self._files.update(pc.unique(batch["file"]).to_pylist())
                self._rows += len(batch)
            schema = pq.read_schema(pa.BufferReader(self._data))
            self.settings: Mapping[str, Any] | None = settings_of(schema)
        except (pa.ArrowException, OSError, LookupError, ValueError) as error:
            detail = " ".join(str(error).split())
            raise RunError(f"{where} is damaged ({detail}): score into a new --out") from None
        lacking = [field.name for field in SCHEMA if field.name not in schema.names]
        if lacking or any(schema.field(field.name).type != field.type for field in SCHEMA):
            raise RunError(f"{where} is damaged (its columns are {', '.join(schema.names)}): score into a new --out")
        for name in self._columns_with_nulls(schema):
            raise RunError(f"{where} is damaged (it has rows without {name!r}): score into a new --out")
        strange = [name for name in self._files if not _OWN_FILE.fullmatch(name or "")]
        if strange:
            raise RunError(
                f"{where} is damaged (it names {strange[0]!r}, which no score job writes): score into a new --out"
            )

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(pa.BufferReader(self._data)) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns), use_threads=False):
                schema = pa.schema([SCHEMA.field(name) for name in columns])
                arrays = [batch.column(name) for name in columns]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)  # other writers make every column nullable

    def _columns_with_nulls(self, schema: pa.Schema) -> Iterator[str]:
        """Yields the columns that have nulls where the program writes none; it reads only what may have some."""
        doubtful = [field.name for field in SCHEMA if not field.nullable and schema.field(field.name).nullable]
        for batch in self._batches(doubtful) if doubtful else ():
            yield from (name for name in doubtful if batch.column(name).null_count)

    def _is_replaced(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Returns which rows of a batch are about an image file and a model that were entered anew."""
        mask = pa.array(np.zeros(len(batch), bool))
        for model_id in {model_id for _, model_id in self._entered}:
            uris = pa.array([uri for uri, model in self._entered if model == model_id], pa.string())
            same = pc.and_(pc.equal(batch["model_id"], model_id), pc.is_in(batch["uri"], value_set=uris))
            mask = pc.or_(mask, same)
        return mask

    def _changed_batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches(SCHEMA.names):
            left = batch.filter(pc.invert(self._is_replaced(batch)))
            files = left["file"].dictionary_encode()
            renamed = pa.array([self._moved.get(name, name) for name in files.dictionary.to_pylist()], pa.string())
            column = renamed.take(files.indices)
            yield left.set_column(left.schema.get_field_index("file"), SCHEMA.field("file"), column)
        yield pa.RecordBatch.from_pylist([entry._asdict() for entry in self._entered.values()], SCHEMA)

    def _visible(self) -> set[str]:
        return {name for name in own_files(self._store, "score") if not name.startswith((f"{STAGED}/", LEDGER_NAME))}

    def _staged(self) -> set[str]:
        return {name for name in own_files(self._store, "score") if name.startswith(f"{STAGED}/")}
