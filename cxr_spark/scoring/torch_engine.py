"""Runs a model by torch, on an executor's GPU or CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.errors import DataError, RunError
from cxr_spark.models.device import Compute, choose_to_score
from cxr_spark.models.exact_input import compute_first_layer_in_float32
from cxr_spark.models.folder import load_model
from cxr_spark.models.fusing import fuse_batch_norms
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.scoring.engine import Engine
from cxr_spark.scoring.predict import predict
from cxr_spark.scoring.ready import changed_message, check_same

if TYPE_CHECKING:
    from cxr_spark.scoring.shipped import ShippedModel


@dataclass(frozen=True)
class TorchModel:
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
        return Engine("torch", self.compute.precision)

    def predict(self, pixels: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        """Computes probabilities, float32 (N, K), of uint8 (N, S, S) images: see `scoring.predict.predict`."""
        return predict(self.module, self.metadata, pixels, compute=self.compute, batch=batch)


def load(model: ShippedModel, threads: int, *, fused: bool = True) -> TorchModel:
    """Loads a model that the driver has checked.

    Args:
        model: the model.
        threads: the number of CPU threads that this process may use.
        fused: whether batch norms become part of the convolutions in front of them, which is faster; without, the
            network has the layers and the weights of the model folder.

    Raises:
        RunError: the folder no longer holds that model, or cannot be read.
    """
    torch.set_num_threads(threads)
    try:
        loaded = load_model(model.folder())
    except DataError as error:  # the driver found the folder whole: what is wrong now has happened since
        raise RunError(f"{changed_message(model.uri)}: {error}") from error
    check_same(loaded.metadata, model.metadata, model.uri)
    compute = choose_to_score(model.engine.precision, _gpu())
    network = fuse_batch_norms(loaded.module) if fused else loaded.module
    if compute.bf16:
        compute_first_layer_in_float32(network)
    return TorchModel(compute.place(network), loaded.metadata, compute)


def on_worker(model: ShippedModel, threads: int) -> TorchModel:
    """Returns what `ShippedModel.on_worker` does, of a model whose engine is torch: for users of the network itself."""
    ready = model.on_worker(threads)
    assert isinstance(ready, TorchModel)
    return ready


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
