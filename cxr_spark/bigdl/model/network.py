"""A network in BigDL, with functions that copy its weights in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_spark.bigdl.engine.jvm import Bridge
from cxr_spark.bigdl.engine.session import quiet
from cxr_spark.bigdl.model.graph import BUILDERS, Graph, LayerParameters, fold, frozen_layers

State = Mapping[str, torch.Tensor]


class Network:
    """A copy of a torch network in BigDL. It takes float32 BGR images (N, 3, H, W) and returns logits (N, K).

    Args:
        architecture: a key of `graph.BUILDERS`.
        module: the torch network with its frozen parameters set.
        bridge: the bridge to the JVM.
        decay: the weight decay of each trained parameter by its name; parameters without any may be left out.
    """

    def __init__(self, architecture: str, module: nn.Module, bridge: Bridge, decay: Mapping[str, float]) -> None:
        from bigdl.dllib.nn import layer as layers

        self._bridge = bridge
        self._trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
        self._epsilon = {name: m.eps for name, m in module.named_modules() if isinstance(m, nn.BatchNorm2d)}
        graph = Graph(module, decay)
        with quiet():
            node = layers.Input()
            self.model = layers.Model([node], [BUILDERS[architecture](graph, node)])
            frozen = frozen_layers(graph)
            if frozen:
                self.model.freeze(frozen)
                self.model.stop_gradient(frozen)
        self._layers, self._norms = graph.layers, graph.norms
        self.model.value.getParameters()  # puts all parameters into one vector
        self._tensors = [tensor for layer in self._layers for tensor in _tensors(layer)]

    @property
    def parameters(self) -> int:
        """The length of the vector of all parameters."""
        return int(self.model.value.getParameters()._1().nElement())

    def load(self, state: State) -> None:
        """Copies a network's state into the graph."""
        values = [value.ravel() for layer in self._layers for value in self._values(layer, state)]
        self._bridge.write(np.concatenate(values, dtype=np.float32), self._tensors)
        self.model.value.zeroGradParameters()
        for norm, name in ((kind, name) for name in self._norms for kind in ("running_mean", "running_var")):
            jvm_layer = self._norms[name].value
            tensor = jvm_layer.runningMean() if norm == "running_mean" else jvm_layer.runningVar()
            self._bridge.write(_array(state[f"{name}.{norm}"]), [tensor])

    def read(self, state: State) -> dict[str, torch.Tensor]:
        """Returns a network's state with the trained parameters replaced by those of the graph.

        Frozen layers stay as they were, and so do the statistics of batch norms, which `ForwardPasses` estimates anew.
        """
        values = self._bridge.read(self._tensors)
        found, position = dict(state), 0
        for layer in self._layers:
            for name, tensor in zip((layer.weight, layer.bias), _tensors(layer), strict=False):
                length = int(tensor.nElement())
                if name in self._trained:
                    chunk = torch.from_numpy(values[position : position + length].copy())
                    found[name] = chunk.reshape(state[name].shape)
                position += length
        return found

    def _values(self, layer: LayerParameters, state: State) -> list[NDArray[Any]]:
        if layer.folded is not None:
            conv, norm = layer.folded
            statistics = ("weight", "bias", "running_mean", "running_var")
            return list(
                fold(
                    _array(state[f"{conv}.weight"]),
                    {name: _array(state[f"{norm}.{name}"]) for name in statistics},
                    self._epsilon[norm],
                )
            )
        return [_array(state[name]) for name in (layer.weight, layer.bias) if name is not None]


def _tensors(layer: LayerParameters) -> list[Any]:
    """Returns a layer's parameters in the JVM: its weight, and its bias where it has one."""
    jvm_layer = layer.layer.value
    if layer.bias is None and layer.folded is None:
        return [jvm_layer.weight()]
    return [jvm_layer.weight(), jvm_layer.bias()]


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().contiguous().numpy()
