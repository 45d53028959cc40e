"""Checks which layers of a network can be shown, and finds their shapes, without computing anything."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import nn

from cxr_spark.errors import UsageError
from cxr_spark.explanation.gradcam import GradCam
from cxr_spark.models.architectures import build_empty, map_layer
from cxr_spark.models.empty import empty
from cxr_spark.models.head import head_name
from cxr_spark.models.metadata import ModelMetadata


def check_layers(metadata: ModelMetadata, names: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Checks names of layers against a model's network.

    Returns:
        The number of channels, the height and the width of each layer's output, by the layer's name.

    Raises:
        UsageError: a layer does not exist, or its output is not a map over the image; or the network has no layer
            that Grad-CAM could be drawn of.
    """
    last = gradcam_layer(metadata)
    network = build_empty(metadata.architecture, metadata.n_outputs, **metadata.build.model_dump()).eval()
    _refuse_unknown(network, metadata.architecture, names)
    head = head_name(network)
    # The head asks for the autocast of its device, and the device "meta" has none.
    network.set_submodule(head, nn.Identity())
    side = metadata.preprocessing.input_size
    before = [name for name in names if name != head and not name.startswith(f"{head}.")]
    with GradCam(network, last, also=before) as cam:
        with empty():
            cam.logits(torch.empty(1, 3, side, side))
        shapes = {name: tuple(output.shape[1:]) for name, output in cam.features.items()}
    found: dict[str, tuple[int, int, int]] = {}
    for name in names:
        shape = shapes.get(name, ())
        if len(shape) != 3:
            raise UsageError(
                f"--layers: the output of {name!r} is not a map: expected an output (channels, height, width)"
            )
        found[name] = (shape[0], shape[1], shape[2])
    return found


def gradcam_layer(metadata: ModelMetadata) -> str:
    """Returns the dotted name of the layer of a model's network that Grad-CAM is drawn of.

    Raises:
        UsageError: there is none.
    """
    layer = map_layer(metadata.architecture)
    if layer is None:
        raise UsageError(
            f"Grad-CAM cannot be drawn of {metadata.architecture}: none of its last layers has a map over the image; "
            "explain a model of another network"
        )
    return layer


def check_layer_names(name: str, layers: Sequence[str]) -> None:
    """Checks names of layers against an architecture, before there is a model.

    Args:
        name: the name of the architecture.
        layers: the names of the layers.

    Raises:
        ConfigError: there is no such architecture.
        UsageError: a layer does not exist.
    """
    _refuse_unknown(build_empty(name, 1), name, layers)


def _refuse_unknown(network: nn.Module, architecture_name: str, names: Sequence[str]) -> None:
    known = [name for name, _ in network.named_modules() if name]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            top = [one for one in known if "." not in one]
            raise UsageError(
                f"layers: {architecture_name} has no layer {name!r}: "
                + (f"did you mean {' or '.join(near)}?" if near else f"at its top are {', '.join(top)}")
            )
