"""The model folder: `metadata.json` and `weights.safetensors`, which is all that is needed to run a model.

Nothing in it is ever unpickled. The folder may hold Spark ML's own `metadata/` beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from cxr_spark.augmentation.kernels import IMAGENET_MEAN_BGR
from cxr_spark.errors import DataError
from cxr_spark.imaging.resize import ResizeMode
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models.architectures import batch_norm_epsilon_of, build, build_empty, check_recorded_name
from cxr_spark.models.limits import MAX_OUTPUTS, HiddenWidths
from cxr_spark.models.weights import Weights, WeightsHeader
from cxr_spark.storage.store import Store
from cxr_spark.storage.typed_json import validated_json

METADATA_NAME = "metadata.json"
WEIGHTS_NAME = "weights.safetensors"


class ModelFolder(Protocol):
    """A folder that a model can be read from, such as a `Store`."""

    @property
    def uri(self) -> str:
        """The URI of the folder."""

    def uri_of(self, name: str) -> str:
        """Returns the full URI of a file in it."""

    def read_bytes(self, name: str) -> bytes:
        """Returns the content of a file; FileNotFoundError where there is none."""


#: Bytes of a `metadata.json` at the most. Real ones have some kilobytes.
_MAX_METADATA_BYTES = 16 << 20


class _MetadataModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Preprocessing(_MetadataModel):
    """How an image becomes the network's input.

    Attributes:
        mean_bgr: taken off the pixels (0 to 255), in the order B, G, R.
        input_size: side of the network's square input, pixels.
        stored_size: side of the prepared images that it was trained on, pixels.
        crop: the input is the middle of a prepared image; else the whole of it, resized.
        resize: how a raw image was made square.
        white_level: value that was white in PNG files of 16 bits; None for 65535.
    """

    mean_bgr: tuple[float, float, float] = IMAGENET_MEAN_BGR
    input_size: int = Field(ge=1, le=4096)
    stored_size: int = Field(ge=1, le=4096)
    crop: bool = False
    resize: ResizeMode = "squash"
    white_level: int | None = Field(None, ge=1, le=65535)

    @model_validator(mode="after")
    def _check(self) -> Preprocessing:
        if self.mean_bgr != IMAGENET_MEAN_BGR:  # nothing else is ever written, nor can it be computed
            raise ValueError(f"mean_bgr is {self.mean_bgr}, expected {IMAGENET_MEAN_BGR}")
        if self.crop and self.input_size > self.stored_size:
            raise ValueError(f"cannot cut {self.input_size} pixels out of images of {self.stored_size}")
        return self


class BuildArguments(_MetadataModel):
    """The arguments of `build` that shape the network."""

    dropout: float = Field(0.0, ge=0, lt=1)
    hidden: HiddenWidths = ()
    batch_norm_epsilon: float | None = Field(None, gt=0, lt=1)


class ModelMetadata(_MetadataModel):
    """All that is known about a model, as `metadata.json` holds it.

    Attributes:
        architecture: a key of `ARCHITECTURES`, or `timm/NAME`.
        findings: the findings that the outputs belong to, in order.
        task: `multi_label`: each output is a sigmoid's; `single_label`: they are one softmax's.
        preprocessing: how an image becomes the input.
        build: how the network is built.
        training: the settings that it was trained with.
        metrics: the metrics that it reached on the validation images.
        versions: the versions of the packages that it was trained with.
        weights_sha256: the SHA-256 of the bytes of `weights.safetensors`; `save_model` fills it in.
    """

    format_version: Literal[1] = 1
    architecture: str = Field(max_length=300)
    findings: tuple[Annotated[str, Field(max_length=10_000)], ...] = Field(min_length=1, max_length=MAX_OUTPUTS)
    n_outputs: int = Field(ge=1, le=MAX_OUTPUTS)
    task: Literal["multi_label", "single_label"] = "multi_label"
    preprocessing: Preprocessing
    build: BuildArguments = BuildArguments()
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    weights_sha256: str = ""

    @model_validator(mode="before")
    @classmethod
    def _count_outputs(cls, values: Any) -> Any:
        if isinstance(values, dict) and "n_outputs" not in values:
            findings = values.get("findings")
            if isinstance(findings, list | tuple):
                return {**values, "n_outputs": len(findings)}
        return values

    @model_validator(mode="after")
    def _check(self) -> ModelMetadata:
        if self.n_outputs != len(self.findings):
            raise ValueError(f"n_outputs is {self.n_outputs}, but there are {len(self.findings)} findings")
        if len(set(self.findings)) != len(self.findings):
            raise ValueError("a finding stands twice")
        check_recorded_name(self.architecture)
        return self

    @property
    def model_id(self) -> str:
        """The SHA-256 of the weights, by which predictions name their model."""
        return self.weights_sha256


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


def load_metadata(store: ModelFolder) -> ModelMetadata:
    """Reads and checks the `metadata.json` of a model folder.

    Raises:
        DataError: the folder holds no model, or a damaged one.
    """
    uri = store.uri_of(METADATA_NAME)
    try:
        data = store.read_bytes(METADATA_NAME)
    except FileNotFoundError:
        hint = f"; the model of this training is {store.uri_of('model')}" if _is_run(store) else ""
        raise DataError(
            f"{store.uri} holds no model: expected {METADATA_NAME} and {WEIGHTS_NAME} in it{hint}"
        ) from None
    if len(data) > _MAX_METADATA_BYTES:
        raise DataError(f"{uri} has {len(data):,} bytes: expected a model's metadata, a page of JSON")
    return validated_json(ModelMetadata, data, f"{uri} is no model's metadata")


def _is_run(store: ModelFolder) -> bool:
    """Whether a folder is the output of the train job, which has the model in a folder below it."""
    try:
        store.read_bytes(f"model/{METADATA_NAME}")
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


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
