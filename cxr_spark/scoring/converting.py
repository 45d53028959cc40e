"""Converts a network from torch to OpenVINO's form, on the driver."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.errors import RunError
from cxr_spark.imaging.imagenet import IMAGENET_MEAN_BGR
from cxr_spark.models.folder import load_model
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.runtime.cores import usable_cores
from cxr_spark.scoring.converted import Converted, key_of
from cxr_spark.scoring.openvino_engine import activate, compiled
from cxr_spark.scoring.openvino_library import openvino
from cxr_spark.scoring.ready import check_same
from cxr_spark.storage.store import Store

log = logging.getLogger(__name__)

#: The most by which a probability of the converted network may differ from torch's, both in float32. Rounding alone
#: gives 1e-6 to 1e-4, and more the larger the logits are; a network that is converted wrongly differs by far more.
_TOLERANCE = 1e-3
#: Images by which a conversion is checked: another number than that by which torch's graph is recorded, so that a graph
#: for so many images alone is found out.
_CHECKED = 3


class FromGrey(nn.Module):
    """A network behind the step that turns grey images, uint8 (N, H, W), into its input.

    `augmentation.kernels.imagenet_bgr` does the same into memory of its own, which a recorded graph cannot hold.
    """

    mean: torch.Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN_BGR).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the logits of the network, float32 (N, K)."""
        logits: torch.Tensor = self.network(images.unsqueeze(1).float() - self.mean)
        return logits


def convert(store: Store, metadata: ModelMetadata) -> Converted:
    """Converts the network of a model folder, and checks the result against torch.

    Args:
        store: the model folder.
        metadata: its metadata, as the job read them before.

    Raises:
        DataError: the folder holds no model, or a damaged one.
        RunError: it holds another model than those metadata tell of, or the network cannot be converted.
    """
    started = time.monotonic()
    loaded = load_model(store)
    check_same(loaded.metadata, metadata, store.uri)
    found = convert_network(loaded.module, metadata)
    log.info("converted the network of %s for openvino in %.1f s", store.uri, time.monotonic() - started)
    return found


def convert_network(module: nn.Module, metadata: ModelMetadata) -> Converted:
    """Converts a network, and checks the result against torch.

    Args:
        module: the network in evaluation mode, on the CPU.
        metadata: the metadata of its model.

    Raises:
        RunError: the network cannot be converted, or gives other probabilities then.
    """
    network = FromGrey(module).eval()
    side = metadata.preprocessing.input_size
    library = openvino()
    example = torch.from_numpy(_images(2, side))
    try:
        with warnings.catch_warnings(), _same_logging(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of how torch records a graph, which is openvino's affair
            converted = library.convert_model(network, example_input=example, input=[(-1, side, side)])
    except Exception as error:  # of many classes, openvino's and torch's
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise RunError(
            f"the network {metadata.architecture} cannot be converted by openvino {library.__version__}: {reason}; "
            "score with --engine torch"
        ) from error
    with TemporaryDirectory() as folder:
        place = Path(folder) / "network.xml"
        library.save_model(converted, place, compress_to_fp16=False)
        found = Converted(place.read_bytes(), place.with_suffix(".bin").read_bytes(), key_of(metadata))
    _check(found, network, metadata)
    return found


@contextmanager
def _same_logging() -> Iterator[None]:
    """Leaves Python's logging as it is: openvino's converter lets only errors through, in the whole process."""
    root = logging.getLogger()
    level, handlers, filters = root.level, list(root.handlers), list(root.filters)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:], root.filters[:] = handlers, filters


def _check(converted: Converted, network: nn.Module, metadata: ModelMetadata) -> None:
    """Compares a converted network with its origin, both in float32.

    Raises:
        RunError: they differ.
    """
    images = _images(_CHECKED, metadata.preprocessing.input_size)
    with torch.inference_mode():
        expected = activate(network(torch.from_numpy(images)).numpy(), metadata.task)
    found = activate(compiled(converted, "fp32", usable_cores())(images)[0], metadata.task)
    differs = float(np.abs(found - expected).max())
    if not differs <= _TOLERANCE:  # so that NaN fails it
        raise RunError(
            f"the network {metadata.architecture} converted for openvino gives probabilities that differ by "
            f"{differs:.1g} from torch's: score with --engine torch"
        )


def _images(count: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)
