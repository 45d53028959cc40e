"""Sends models to the executors: as a URI where they can read the model folder, else as a broadcast of its files."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.errors import DataError, RunError
from cxr_spark.models.device import Compute, choose_to_score, usable_cores
from cxr_spark.models.folder import METADATA_NAME, WEIGHTS_NAME, LoadedModel, load_model
from cxr_spark.models.fusing import fuse_batch_norms
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.scoring.engine import Engine
from cxr_spark.scoring.predict import predict
from cxr_spark.storage.places import SHARED_LOCAL, is_on_every_node
from cxr_spark.storage.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

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
    """

    model_id: str
    uri: str
    broadcast: Any = field(default=None, compare=False)
    metadata: ModelMetadata | None = field(default=None, compare=False, repr=False)
    engine: Engine = field(default_factory=Engine)

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


@dataclass(frozen=True)
class ReadyModel:
    """A model on its device.

    Attributes:
        module: the network.
        metadata: the metadata of the model.
        compute: the device and the precision.
    """

    module: nn.Module
    metadata: ModelMetadata
    compute: Compute

    @property
    def engine(self) -> Engine:
        """What computes the probabilities."""
        return Engine(precision=self.compute.precision)

    def predict(self, pixels: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        """Computes probabilities, float32 (N, K), of uint8 (N, S, S) images: see `scoring.predict.predict`."""
        return predict(self.module, self.metadata, pixels, compute=self.compute, batch=batch)


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
    store = Store(uri)
    loaded = load_model(store)
    if expected is not None:
        _check_same(loaded.metadata, expected, store.uri)
    context, engine = spark.sparkContext, engine or Engine()
    if is_on_every_node(store.uri, context.master, context.getConf().get(SHARED_LOCAL, "false")):
        return ShippedModel(loaded.metadata.model_id, store.uri, None, loaded.metadata, engine), loaded
    files = {name: store.read_bytes(name) for name in (METADATA_NAME, WEIGHTS_NAME)}
    log.info("sending the model with the tasks: executors cannot read %s", store.uri)
    shipped = ShippedModel(loaded.metadata.model_id, store.uri, context.broadcast(files), loaded.metadata, engine)
    return shipped, loaded


@lru_cache(maxsize=1)  # the models of one job in a worker's memory
def ready_models(models: tuple[ShippedModel, ...], threads: int) -> tuple[ReadyModel, ...]:
    """Returns models ready to run in this process, as `ShippedModel.on_worker` does, and keeps all of them."""
    torch.set_num_threads(threads)
    return tuple(map(_load, models))


def _load(model: ShippedModel) -> ReadyModel:
    try:
        loaded = load_model(model.folder())
    except DataError as error:  # the driver found the folder whole: what is wrong now has happened since
        raise RunError(f"{_replaced(model.uri)}: {error}") from error
    if loaded.metadata.model_id != model.model_id:
        raise RunError(
            f"{_replaced(model.uri)}: its weights are {loaded.metadata.model_id[:12]}, the job began with "
            f"{model.model_id[:12]}; run the job again"
        )
    if model.metadata is not None:
        _check_same(loaded.metadata, model.metadata, model.uri)
    compute = choose_to_score(model.engine.precision, _gpu())
    return ReadyModel(compute.place(fuse_batch_norms(loaded.module)), loaded.metadata, compute)


def _replaced(uri: str) -> str:
    return f"the model folder {uri} was changed while the job ran"


def _check_same(found: ModelMetadata, expected: ModelMetadata, uri: str) -> None:
    if found.model_id != expected.model_id:
        raise RunError(
            f"{_replaced(uri)}: its weights are {found.model_id[:12]}, the job began with {expected.model_id[:12]}; "
            "run the job again"
        )
    if found != expected:
        raise RunError(f"{_replaced(uri)}: its metadata.json is another one; run the job again")


def _gpu() -> int:
    """Returns the number of this task's GPU: the one that Spark gave it, else one that follows from its partition."""
    if not torch.cuda.is_available():
        return 0
    from pyspark import TaskContext

    task = TaskContext.get()
    if task is None:
        return 0
    given = task.resources().get("gpu")
    if given is not None:
        return int(given.addresses[0])
    return int(task.partitionId()) % torch.cuda.device_count()


def threads_of_a_task(spark: SparkSession, parts: int) -> int:
    """Returns the number of CPU threads of a task: in local mode several, where there are fewer tasks than cores."""
    context = spark.sparkContext
    if context.master.startswith("local"):
        return max(1, usable_cores() // max(1, min(parts, int(context.defaultParallelism))))
    return int(context.getConf().get("spark.task.cpus", "1"))
