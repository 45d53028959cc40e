"""What is known about a model: the content of the `metadata.json` in its folder."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cxr_spark.imaging.imagenet import IMAGENET_MEAN_BGR
from cxr_spark.imaging.resize import ResizeMode
from cxr_spark.models.limits import MAX_OUTPUTS, HiddenWidths
from cxr_spark.models.names import check_recorded_name


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
