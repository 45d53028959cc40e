"""The model folder: `metadata.json` and `weights.safetensors`, which is all that is needed to run a model.

Nothing in it is ever unpickled. The folder may hold Spark ML's own `metadata/` beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from cxr_spark.errors import DataError
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models.architectures import batch_norm_epsilon_of, build, build_empty
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.models.metadata_file import METADATA_NAME, WEIGHTS_NAME, ModelFolder, load_metadata
from cxr_spark.models.weights import Weights, WeightsHeader
from cxr_spark.storage.store import Store


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run: the network in evaluation mode, on the CPU."""

    module: nn.Module
    metadata: ModelMetadata


def save_model(store: Store, module: nn.Module, metadata: ModelMetadata) -> ModelMetadata:
    """Writes a model folder, `metadata.json` last.

    Args:
        store: the folder; made if it is not there, other files in it are left alone.
        module: the network; may be on any device and in any memory format, but not wrapped for distributed training.
        metadata: what to write with it. The batch norm epsilon and the hash are filled in.

    Returns:
        The metadata as written.

    Raises:
        DataError: a weight is not finite, or the network is not the one that the metadata tell of.
        RunError: the folder cannot be written.
    """
    build_arguments = metadata.build.model_copy(update={"batch_norm_epsilon": batch_norm_epsilon_of(module)})
    metadata = metadata.model_copy(update={"build": build_arguments})
    state = module.state_dict()
    tensor_files.check(state, _empty(metadata).state_dict(), "the network to be saved")
    data = tensor_files.to_bytes(state)
    metadata = metadata.model_copy(update={"weights_sha256": tensor_files.sha256(data)})
    # Without metadata there is no model: a reader never sees old metadata with new weights.
    store.delete(METADATA_NAME)
    store.write_bytes(WEIGHTS_NAME, data)
    store.write_json(METADATA_NAME, metadata.model_dump(mode="json"))
    return metadata


def load_model(store: ModelFolder) -> LoadedModel:
    """Reads a model folder and builds its network.

    Raises:
        DataError: the folder holds no model, its weights are not those that the metadata name by their hash, or they
            do not fit the network.
    """
    metadata = load_metadata(store)
    module = _empty(metadata)
    tensors = _tensors(store, metadata)
    if set(tensors) != {name for name, _ in [*module.named_parameters(), *module.named_buffers()]}:
        # Some networks of timm hold constants, too, which no file has: they are made with the network.
        module = build(metadata.architecture, metadata.n_outputs, **metadata.build.model_dump())
    module.load_state_dict(tensors, assign=True)
    return LoadedModel(module.eval(), metadata)


def read_model_weights(store: ModelFolder) -> Weights:
    """Reads the weights of a model folder as the start of another training.

    Raises:
        DataError: as `load_model`.
    """
    metadata = load_metadata(store)
    header = WeightsHeader(
        architecture=metadata.architecture,
        n_outputs=metadata.n_outputs,
        batch_norm_epsilon=metadata.build.batch_norm_epsilon,
        source=store.uri,
        source_kind="model",
        source_sha256=metadata.weights_sha256,
        hidden=metadata.build.hidden,
        findings=metadata.findings,
    )
    return Weights(header, _tensors(store, metadata))


def _empty(metadata: ModelMetadata) -> nn.Module:
    return build_empty(metadata.architecture, metadata.n_outputs, **metadata.build.model_dump())


def _tensors(store: ModelFolder, metadata: ModelMetadata) -> dict[str, Any]:
    what = store.uri_of(WEIGHTS_NAME)
    try:
        data = store.read_bytes(WEIGHTS_NAME)
    except FileNotFoundError:
        raise DataError(f"{store.uri} has {METADATA_NAME} but no {WEIGHTS_NAME}: copy the whole folder") from None
    found = tensor_files.sha256(data)
    if found != metadata.weights_sha256:
        raise DataError(
            f"{what} has SHA-256 {found}, its metadata say {metadata.weights_sha256 or 'nothing'}: the file was "
            "changed or belongs to another model; copy the whole folder again"
        )
    tensors, _ = tensor_files.from_bytes(data, what)
    tensor_files.check(tensors, _empty(metadata).state_dict(), what)
    return tensors
