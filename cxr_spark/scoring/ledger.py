"""Which image files have been scored, by which model, and in which file their predictions stand.

The ledger is one Parquet file, replaced as a whole: that is the commit of a nightly run. What it does not name is not
there, whatever lies in the folder; what it names and is not yet in its place lies staged, and is put there next.

Structured Streaming with `availableNow` would keep such a list, too, but by path alone: it passes over a file that has
changed, knows nothing of models, and makes the folder exact only for Spark's own readers, through `_spark_metadata`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_spark.errors import RunError
from cxr_spark.imaging.listing import ImageFile
from cxr_spark.imaging.rejected import UNREADABLE
from cxr_spark.outputs.own_files import own_files
from cxr_spark.storage.store import Store
from cxr_spark.tables.text import printable

LEDGER_NAME = "_ledger.parquet"
#: Folder of files that are written and not yet in their place.
STAGED = "_staged"

_SCHEMA = pa.schema(
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


class Entry(NamedTuple):
    """One image file that was scored, or set aside.

    Attributes:
        uri: full URI.
        size: bytes.
        modified: time of change, seconds since the epoch.
        model_id: of the model.
        image_index: its name in the predictions.
        file: where its row stands, below the output folder.
        reason: why it is in quarantine; None where it has been scored.
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

    Args:
        store: the output folder.
        entries: what is in it.
    """

    def __init__(self, store: Store, entries: Iterable[Entry] = ()) -> None:
        self._store = store
        self._entries = {(entry.uri, entry.model_id): entry for entry in entries}

    @classmethod
    def read(cls, store: Store) -> Ledger:
        """Reads the ledger of a folder; it is empty where there is none.

        Raises:
            RunError: it cannot be read.
        """
        try:
            data = store.read_bytes(LEDGER_NAME)
        except FileNotFoundError:
            return cls(store)
        try:
            table = pq.read_table(pa.BufferReader(data)).select(_SCHEMA.names).cast(_SCHEMA)
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise RunError(f"{store.uri_of(LEDGER_NAME)} is damaged ({error}): score into a new --out") from None
        return cls(store, (Entry(**row) for row in table.to_pylist()))

    def __len__(self) -> int:
        return len(self._entries)

    def has(self, file: ImageFile, model_id: str) -> bool:
        """Whether a model has scored this very file. One that the storage did not give is tried again."""
        entry = self._entries.get((printable(file.uri), model_id))
        return (
            entry is not None
            and (entry.size, entry.modified) == (file.size, file.modified)
            and entry.reason != UNREADABLE
        )

    def names(self, model_id: str) -> dict[str, str]:
        """Returns the images that a model has scored: their names, and from which file."""
        return {e.image_index: e.uri for e in self._entries.values() if e.model_id == model_id and e.reason is None}

    def replace(self, entries: Iterable[Entry]) -> dict[str, list[Entry]]:
        """Enters images, and takes out what was known of the same files before.

        Returns:
            The entries that were taken out, by the file in which their rows stand.
        """
        out: dict[str, list[Entry]] = {}
        for entry in entries:
            key = (entry.uri, entry.model_id)
            before = self._entries.get(key)
            if before is not None:
                out.setdefault(before.file, []).append(before)
            self._entries[key] = entry
        return out

    def moved(self, files: Mapping[str, str]) -> None:
        """Notes that the rows of some files stand in others now."""
        for key, entry in self._entries.items():
            if entry.file in files:
                self._entries[key] = entry._replace(file=files[entry.file])

    def commit(self) -> None:
        """Writes the ledger."""
        columns = zip(*self._entries.values(), strict=True) if self._entries else ([] for _ in _SCHEMA)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), sink, compression="zstd")
        self._store.write_bytes(LEDGER_NAME, memoryview(sink.getvalue()))

    def unpublished(self) -> bool:
        """Whether the folder holds other files than the ledger names, or staged ones."""
        return bool(self._staged()) or self._visible() != self._files()

    def publish(self) -> None:
        """Makes the folder hold what the ledger names and nothing else; a run that was killed here is finished.

        What is superseded goes first, so that no reader ever finds an image twice.

        Raises:
            RunError: a file is gone.
        """
        store, wanted = self._store, self._files()
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

    def _files(self) -> set[str]:
        return {entry.file for entry in self._entries.values()}

    def _visible(self) -> set[str]:
        return {name for name in own_files(self._store, "score") if not name.startswith((f"{STAGED}/", LEDGER_NAME))}

    def _staged(self) -> set[str]:
        return {name for name in own_files(self._store, "score") if name.startswith(f"{STAGED}/")}
