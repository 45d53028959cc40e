"""Settings of the network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cxr_spark.config.section import Section

#: Widths of the dense layers between the network and its outputs. Two of the widest layers take 1 GB.
HiddenWidths = Annotated[tuple[Annotated[int, Field(ge=1, le=16_384)], ...], Field(max_length=16)]

#: The networks that can be trained. The list is here because help texts are printed without torch, too;
#: `cxr_spark.models.architectures` builds the networks.
ARCHITECTURE_NAMES = (
    "resnet50",
    "resnet50_v1",
    "resnet101",
    "densenet121",
    "vgg16",
    "inception_v3",
    "googlenet",
    "efficientnet_b0",
    "convnext_tiny",
    "small_cnn",
)

#: A number of layers; whether the network has so many is checked when it is built.
LayerCount = Annotated[int, Field(ge=0, le=100_000)]


class ModelSettings(Section):
    """The network."""

    architecture: str = Field(
        "resnet50",
        description=f"the network: one of {', '.join(ARCHITECTURE_NAMES)}, or timm/NAME for one of timm's, such as "
        "timm/resnet10t; timm/NAME.TAG for its weights of that tag",
    )
    weights: str = Field(
        "random",
        description="where the training starts: random, the URI of imported weights or of a model, or the name of "
        "torchvision weights",
    )
    input_size: int | None = Field(
        None, ge=16, le=2048, description="side of the network's input in pixels; default: that of the architecture"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="probability of dropout before the last layer")
    stochastic_depth: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="probability with which training leaves out the last block for an image, falling to 0 at the first "
        "one; default: that of the architecture",
    )
    task: Literal["multi_label", "single_label"] = Field(
        "multi_label",
        description="multi_label: each finding has a sigmoid of its own; single_label: one softmax over all classes",
    )
    hidden: HiddenWidths = Field((), description="widths of additional dense layers before the outputs, such as [512]")
    freeze: Literal["none", "backbone"] | dict[Literal["until", "last"], str | LayerCount] = Field(
        "none",
        description="which layers keep their weights: none, backbone, {until: LAYER} or {last: N}, all but the last N",
    )
