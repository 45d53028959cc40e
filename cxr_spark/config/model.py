"""Settings of the network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cxr_spark.config.section import Section


class ModelSettings(Section):
    """The network."""

    architecture: str = Field("resnet50", description="one of the names that `import-weights --help` lists")
    weights: str = Field("random", description="random, a URI of imported weights or a model, or a torchvision name")
    input_size: int | None = Field(None, ge=16, le=2048, description="side of the input; default: the architecture's")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the last layer")
    task: Literal["multi_label", "single_label"] = Field(
        "multi_label", description="multi_label: a sigmoid a finding; single_label: one softmax over the classes"
    )
    hidden: tuple[int, ...] = Field((), description="widths of dense layers between the network and its outputs")
    freeze: Literal["none", "backbone"] | dict[Literal["until", "last"], str | int] = Field(
        "none", description="none, backbone, {until: LAYER} or {last: N}: what keeps its weights"
    )
