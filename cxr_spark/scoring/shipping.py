"""Sends models to the executors: as a URI where they can read the model folder, else as a broadcast of its files."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.models.metadata_file import METADATA_NAME, WEIGHTS_NAME, load_metadata
from cxr_spark.runtime.cores import usable_cores
from cxr_spark.runtime.requirements import check_convertible
from cxr_spark.scoring.converted import CONVERTED_NAME
from cxr_spark.scoring.engine import Engine
from cxr_spark.scoring.kept_conversion import keep, kept_conversion
from cxr_spark.scoring.ready import ReadyModel, check_same
from cxr_spark.storage.places import SHARED_LOCAL, is_on_every_node
from cxr_spark.storage.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from cxr_spark.models.folder import LoadedModel

log = logging.getLogger(__name__)


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
        model_id: SHA-256 of the weights.
        uri: the model folder.
        broadcast: Spark's broadcast of the folder's files, where executors cannot read the URI.
        metadata: the metadata that the driver read; executors must find the same. None to compare nothing.
        engine: what computes the probabilities.
        converted: the SHA-256 of the converted network's file; None where the engine takes the model as it is.
    """

    model_id: str
    uri: str
    broadcast: Any = field(default=None, compare=False)
    metadata: ModelMetadata | None = field(default=None, compare=False, repr=False)
    engine: Engine = field(default_factory=Engine)
    converted: str | None = None

    def folder(self) -> Store | BytesFolder:
        """Opens the model folder, on the driver or an executor."""
        return Store(self.uri) if self.broadcast is None else BytesFolder(self.uri, self.broadcast.value)

    def on_worker(self, threads: int) -> ReadyModel:
        """Returns the model, ready to run in this process: loaded on the first call, kept for the next.

        Args:
            threads: CPU threads that this process may use.

        Raises:
            RunError: the folder no longer holds the model that the driver checked, or cannot be read.
        """
        return ready_models((self,), threads)[0]


def ship(spark: SparkSession, uri: str, metadata: ModelMetadata, engine: Engine) -> ShippedModel:
    """Checks a model on the driver, and makes it available to the executors in the form that an engine takes.

    Args:
        spark: the session.
        uri: full URI of the model folder.
        metadata: the metadata that the job read before, such as for its fingerprint.
        engine: what computes the probabilities.

    Raises:
        DataError: the folder holds no model, or a damaged one.
        RunError: it holds another model than those metadata tell of, or the network cannot be converted.
        UsageError: the network has to be converted, and torch is not installed here.
    """
    if engine.name == "openvino":
        return _ship_converted(spark, uri, metadata, engine)
    return ship_model(spark, uri, metadata, engine)[0]


def ship_model(
    spark: SparkSession, uri: str, expected: ModelMetadata | None = None, engine: Engine | None = None
) -> tuple[ShippedModel, LoadedModel]:
    """Checks a model on the driver, and makes it available to the executors.

    Args:
        spark: the session.
        uri: full URI of the model folder.
        expected: the metadata that the job read before, such as for its fingerprint; None to compare nothing.
        engine: what computes the probabilities; default: torch in float32.

    Returns:
        What travels to the executors, and the model itself.

    Raises:
        DataError: the folder holds no model, or a damaged one.
        RunError: it holds another model than the expected one: it was replaced meanwhile.
    """
    from cxr_spark.models.folder import load_model

    store = Store(uri)
    loaded = load_model(store)
    if expected is not None:
        check_same(loaded.metadata, expected, store.uri)
    context, engine = spark.sparkContext, engine or Engine()
    if _executors_read(spark, store.uri):
        return ShippedModel(loaded.metadata.model_id, store.uri, None, loaded.metadata, engine), loaded
    files = {name: store.read_bytes(name) for name in (METADATA_NAME, WEIGHTS_NAME)}
    log.info("sending the model with the tasks: executors cannot read %s", store.uri)
    shipped = ShippedModel(loaded.metadata.model_id, store.uri, context.broadcast(files), loaded.metadata, engine)
    return shipped, loaded


def _ship_converted(spark: SparkSession, uri: str, metadata: ModelMetadata, engine: Engine) -> ShippedModel:
    """Takes the converted network that the folder holds, or converts it; see `ship`."""
    store = Store(uri)
    check_same(load_metadata(store), metadata, store.uri)
    data = kept_conversion(store, metadata)
    kept = data is not None
    if data is None:
        check_convertible(store.uri)
        from cxr_spark.scoring.converting import convert  # it needs torch, which a kept network does not

        data = convert(store, metadata).to_bytes()
        kept = keep(store, data)
    broadcast = None
    if not (kept and _executors_read(spark, store.uri)):
        log.info("sending the converted network with the tasks")
        broadcast = spark.sparkContext.broadcast({CONVERTED_NAME: data})
    digest = hashlib.sha256(data).hexdigest()
    return ShippedModel(metadata.model_id, store.uri, broadcast, metadata, engine, digest)


def _executors_read(spark: SparkSession, uri: str) -> bool:
    context = spark.sparkContext
    return is_on_every_node(uri, context.master, context.getConf().get(SHARED_LOCAL, "false"))


@lru_cache(maxsize=1)  # the models of one job in a worker's memory
def ready_models(models: tuple[ShippedModel, ...], threads: int) -> tuple[ReadyModel, ...]:
    """Returns models ready to run in this process, as `ShippedModel.on_worker` does, and keeps all of them."""
    return tuple(_ready(model, threads) for model in models)


def _ready(model: ShippedModel, threads: int) -> ReadyModel:
    # Each engine is imported where it is used: an executor need not have the other one's library.
    if model.engine.name == "openvino":
        from cxr_spark.scoring import openvino_engine

        return openvino_engine.load(model, threads)
    from cxr_spark.scoring import torch_engine

    return torch_engine.load(model, threads)


def threads_of_a_task(spark: SparkSession, parts: int) -> int:
    """Returns the number of CPU threads of a task: in local mode several, where there are fewer tasks than cores."""
    context = spark.sparkContext
    if context.master.startswith("local"):
        return max(1, usable_cores() // max(1, min(parts, int(context.defaultParallelism))))
    return int(context.getConf().get("spark.task.cpus", "1"))
