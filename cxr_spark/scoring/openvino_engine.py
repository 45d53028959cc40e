"""Runs a converted network by OpenVINO, on an executor's CPU. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cxr_spark.config.precision import NumberFormat
from cxr_spark.errors import RunError
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.outputs.names import CONVERTED_NAME
from cxr_spark.scoring.combining import sigmoid, softmax
from cxr_spark.scoring.converted import Converted
from cxr_spark.scoring.engine import Engine
from cxr_spark.scoring.inputs import check_images, check_numbers, network_input
from cxr_spark.scoring.openvino_library import openvino

if TYPE_CHECKING:
    from cxr_spark.scoring.shipped import ShippedModel

#: OpenVINO's names of number formats.
_HINTS: dict[NumberFormat, str] = {"fp32": "f32", "bf16": "bf16"}


@dataclass(frozen=True)
class OpenVinoModel:
    """A model that OpenVINO has compiled for this processor.

    Attributes:
        network: OpenVINO's compiled model, from uint8 (N, S, S) to float32 logits (N, K).
        metadata: the metadata of the model.
        engine: what computes the probabilities.
    """

    network: Any
    metadata: ModelMetadata
    engine: Engine

    def predict(self, pixels: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
        """Computes probabilities: see `ReadyModel.predict`."""
        check_images(pixels)
        results = [np.empty((0, self.metadata.n_outputs), np.float32)]
        for start in range(0, len(pixels), batch):
            images = network_input(pixels[start : start + batch], self.metadata.preprocessing)
            results.append(activate(self.network(images)[0], self.metadata.task))
        return check_numbers(np.concatenate(results), self.metadata)


def activate(logits: NDArray[np.float32], task: str) -> NDArray[np.float32]:
    """Turns logits (N, K) into probabilities: a sigmoid for each finding, or one softmax over all classes."""
    exact = logits.astype(np.float64)
    return (sigmoid(exact) if task == "multi_label" else softmax(exact)).astype(np.float32)


def load(model: ShippedModel, threads: int) -> OpenVinoModel:
    """Loads and compiles a network that the driver has converted.

    Args:
        model: the model, with a broadcast of its converted network.
        threads: the number of CPU threads that this process may use.

    Raises:
        RunError: openvino is not installed here, or this processor does not compute in the number format.
    """
    # No name for the file's content: it is freed before the network is compiled, which needs memory of its own.
    network = Converted.from_bytes(model.folder().read_bytes(CONVERTED_NAME), CONVERTED_NAME)
    return OpenVinoModel(compiled(network, model.engine.precision, threads), model.metadata, model.engine)


def compiled(network: Converted, precision: NumberFormat, threads: int) -> Any:
    """Compiles a network for this processor.

    Args:
        network: the converted network.
        precision: the number format of the computation.
        threads: the number of CPU threads.

    Raises:
        RunError: openvino is not installed here, it cannot read the network, or this processor does not compute in
            the number format.
    """
    library = openvino()
    core = library.Core()
    wanted = {
        # By itself OpenVINO takes the fastest format of the processor, so that machines would disagree.
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Each Python worker of a host would pin its threads to the same first cores.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        found = core.compile_model(core.read_model(network.graph, network.weights), "CPU", wanted)
    except RuntimeError as error:
        reason = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "no reason given")
        raise RunError(
            f"openvino {library.__version__} cannot run the converted network: {reason}; score with --engine torch"
        ) from error
    if found.get_property("INFERENCE_PRECISION_HINT") != getattr(library.Type, _HINTS[precision]):
        raise RunError(
            f"this processor does not compute in {precision} by openvino: use --precision fp32, or --engine torch"
        )
    return found
