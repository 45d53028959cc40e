"""A model on its way to the executors: as a URI where they can read the model folder, else as a broadcast of files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.scoring.engine import Engine
from cxr_spark.scoring.ready import ReadyModel
from cxr_spark.scoring.worker_cache import ready_models
from cxr_spark.storage.store import Store


@dataclass(frozen=True)
class BytesFolder:
    """A model folder in memory.

    Attributes:
        uri: the URI that its files were read from, for messages.
        files: the content of each file, by its name.
    """

    uri: str
    files: dict[str, bytes]

    def uri_of(self, name: str) -> str:
        """Returns the full URI that a file came from."""
        return f"{self.uri}/{name}"

    def read_bytes(self, name: str) -> bytes:
        """Returns the content of a file."""
        return self.files[name]


@dataclass(frozen=True)
class ShippedModel:
    """A checked model that executors can load. It is small; the weights follow when a worker asks for them.

    Attributes:
        uri: the model folder.
        metadata: the metadata that the driver read; executors must find the same.
        broadcast: Spark's broadcast of the folder's files, where executors cannot read the URI.
        engine: what computes the probabilities.
        converted_sha256: the SHA-256 of graph and weights of the converted network in the broadcast; None where the
            engine takes the model as it is.
        metadata_sha256: the SHA-256 of the metadata, by which a worker tells this model from another one, also from one
            of the same weights.
    """

    uri: str
    metadata: ModelMetadata = field(compare=False, repr=False)
    broadcast: Any = field(default=None, compare=False)
    engine: Engine = field(default_factory=Engine)
    converted_sha256: str | None = None
    metadata_sha256: str = field(init=False)

    def __post_init__(self) -> None:
        text = self.metadata.model_dump_json()
        object.__setattr__(self, "metadata_sha256", hashlib.sha256(text.encode()).hexdigest())

    def folder(self) -> Store | BytesFolder:
        """Opens the model folder, on the driver or an executor."""
        if self.broadcast is None:
            return Store(self.uri)
        files = self.broadcast.value
        _forget(self.broadcast)
        return BytesFolder(self.uri, files)

    def on_worker(self, threads: int) -> ReadyModel:
        """Returns the model, ready to run in this process: loaded on the first call, kept for the next.

        Args:
            threads: CPU threads that this process may use.

        Raises:
            RunError: the folder no longer holds the model that the driver checked, or cannot be read.
        """
        return ready_models((self,), threads)[0]


def _forget(broadcast: Any) -> None:
    """Lets the value of a broadcast go, which pyspark otherwise keeps in every Python worker as long as it lives.

    pyspark has no public call for that on executors. It reads the value again from its file when it is asked again. A
    value that came through a socket (`spark.io.encryption.enabled`) has no file, and stays.
    """
    if getattr(broadcast, "_path", None) is not None:
        vars(broadcast).pop("_value", None)
