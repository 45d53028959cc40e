"""BigDL graphs of torchvision's networks, made from the modules themselves so that every shape and stride agrees."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cxr_spark.models.head import Head

#: A node of a BigDL graph under construction. BigDL's Python classes have no types.
Node = Any


@dataclass(frozen=True)
class LayerParameters:
    """The parameters of one BigDL layer, and where in the network's state they come from.

    Attributes:
        layer: the BigDL layer (its Python object).
        weight: name of the tensor that holds its weight; None where a frozen batch norm is folded in.
        bias: name of the tensor that holds its bias; None where it has none, or where a batch norm is folded in.
        folded: names of a convolution and its batch norm, where this layer stands for both; it is never trained.
    """

    layer: Any
    weight: str | None = None
    bias: str | None = None
    folded: tuple[str, str] | None = None


@dataclass
class Graph:
    """A network under construction.

    Args:
        module: a network that `cxr_spark.models.architectures.build` made; its frozen parameters require no gradient.
        decay: the weight decay of each trained parameter by its name; parameters without any may be left out.
    """

    module: nn.Module
    decay: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    layers: list[LayerParameters] = field(default_factory=list)
    norms: dict[str, Any] = field(default_factory=dict)

    def conv_norm(self, node: Node, conv_name: str, norm_name: str) -> Node:
        """Adds a convolution and its batch norm.

        Where both are frozen they become one convolution. BigDL has no frozen batch norm: in training it would
        normalise by the statistics of the batch.
        """
        conv = cast(nn.Conv2d, self.module.get_submodule(conv_name))
        norm = cast(nn.BatchNorm2d, self.module.get_submodule(norm_name))
        if not (_is_trained(conv) or _is_trained(norm)):
            layer = self._convolution(conv, conv_name, with_bias=True)
            self.layers.append(LayerParameters(layer, folded=(conv_name, norm_name)))
            return layer(node)
        layer = self._convolution(conv, conv_name, with_bias=False)
        self.layers.append(LayerParameters(layer, f"{conv_name}.weight"))
        node = layer(node)
        layer = _layers().SpatialBatchNormalization(norm.num_features, norm.eps, norm.momentum)
        self.layers.append(LayerParameters(layer, f"{norm_name}.weight", f"{norm_name}.bias"))
        self.norms[norm_name] = layer
        return layer.set_name(norm_name)(node)

    def linear(self, node: Node, name: str) -> Node:
        """Adds a fully connected layer."""
        linear = cast(nn.Linear, self.module.get_submodule(name))
        layer = (
            _layers()
            .Linear(linear.in_features, linear.out_features, wRegularizer=self._regularizer(f"{name}.weight"))
            .set_name(name)
        )
        self.layers.append(LayerParameters(layer, f"{name}.weight", f"{name}.bias"))
        return layer(node)

    def max_pool(self, node: Node, pool: nn.MaxPool2d) -> Node:
        """Adds a max pooling."""
        size, stride, padding = (int(cast(int, value)) for value in (pool.kernel_size, pool.stride, pool.padding))
        layer = _layers().SpatialMaxPooling(size, size, stride, stride, padding, padding, to_ceil=pool.ceil_mode)
        return layer(node)

    def head(self, node: Node, name: str, dropout: nn.Dropout | None = None) -> Node:
        """Adds global average pooling, perhaps a dropout, and the head."""
        layers, head = _layers(), cast(Head, self.module.get_submodule(name))
        features = next(layer.in_features for layer in head if isinstance(layer, nn.Linear))
        node = layers.SpatialAveragePooling(1, 1, global_pooling=True)(node)
        node = layers.View([features], num_input_dims=3)(node)
        if dropout is not None:
            node = self.plain(node, dropout)
        for child, layer in head.named_children():
            is_linear = isinstance(layer, nn.Linear)
            node = self.linear(node, f"{name}.{child}") if is_linear else self.plain(node, layer)
        return node

    def plain(self, node: Node, layer: nn.Module) -> Node:
        """Adds a ReLU or a dropout."""
        if not isinstance(layer, nn.Dropout):
            return _layers().ReLU()(node)
        return _layers().Dropout(layer.p)(node) if layer.p else node

    def _convolution(self, conv: nn.Conv2d, name: str, *, with_bias: bool) -> Any:
        (height, width), (down, right) = conv.kernel_size, conv.stride
        above, beside = cast(tuple[int, int], conv.padding)
        return (
            _layers()
            .SpatialConvolution(
                conv.in_channels,
                conv.out_channels,
                width,
                height,
                right,
                down,
                beside,
                above,
                with_bias=with_bias,
                wRegularizer=self._regularizer(f"{name}.weight"),
            )
            .set_name(name)
        )

    def _regularizer(self, name: str) -> Any:
        from bigdl.dllib.optim.optimizer import L2Regularizer

        decay = self.decay.get(name, 0.0)
        return L2Regularizer(decay) if decay else None


def _resnet(graph: Graph, node: Node) -> Node:
    layers, module = _layers(), cast(Any, graph.module)
    node = layers.ReLU()(graph.conv_norm(node, "conv1", "bn1"))
    node = graph.max_pool(node, module.maxpool)
    for stage in ("layer1", "layer2", "layer3", "layer4"):
        for name, block in module.get_submodule(stage).named_children():
            node = _bottleneck(graph, node, f"{stage}.{name}", has_shortcut=block.downsample is not None)
    return graph.head(node, "fc")


def _bottleneck(graph: Graph, node: Node, name: str, *, has_shortcut: bool) -> Node:
    layers = _layers()
    inner = layers.ReLU()(graph.conv_norm(node, f"{name}.conv1", f"{name}.bn1"))
    inner = layers.ReLU()(graph.conv_norm(inner, f"{name}.conv2", f"{name}.bn2"))
    inner = graph.conv_norm(inner, f"{name}.conv3", f"{name}.bn3")
    if has_shortcut:
        node = graph.conv_norm(node, f"{name}.downsample.0", f"{name}.downsample.1")
    return layers.ReLU()(layers.CAddTable()([inner, node]))


def _googlenet(graph: Graph, node: Node) -> Node:
    for name, child in graph.module.named_children():
        if name.startswith("inception"):
            node = _inception(graph, node, name)
        elif name.startswith("conv"):
            node = _basic(graph, node, name)
        elif isinstance(child, nn.MaxPool2d):
            node = graph.max_pool(node, child)
    return graph.head(node, "fc", cast(nn.Dropout, graph.module.get_submodule("dropout")))


def _inception(graph: Graph, node: Node, name: str) -> Node:
    block = cast(Any, graph.module.get_submodule(name))
    branches = [
        _basic(graph, node, f"{name}.branch1"),
        _basic(graph, _basic(graph, node, f"{name}.branch2.0"), f"{name}.branch2.1"),
        _basic(graph, _basic(graph, node, f"{name}.branch3.0"), f"{name}.branch3.1"),
        _basic(graph, graph.max_pool(node, block.branch4[0]), f"{name}.branch4.1"),
    ]
    return _layers().JoinTable(2, 0)(branches)


def _basic(graph: Graph, node: Node, name: str) -> Node:
    return _layers().ReLU()(graph.conv_norm(node, f"{name}.conv", f"{name}.bn"))


#: The functions that build the networks which BigDL can train, by architecture.
BUILDERS: Mapping[str, Callable[[Graph, Node], Node]] = MappingProxyType(
    {"resnet50": _resnet, "resnet50_v1": _resnet, "resnet101": _resnet, "googlenet": _googlenet}
)


def fold(weight: NDArray[Any], norm: Mapping[str, NDArray[Any]], epsilon: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Folds a batch norm into the convolution before it, and returns the weight and bias of the result, float32.

    Args:
        weight: float32 (out, in, height, width), weight of the convolution.
        norm: `weight`, `bias`, `running_mean` and `running_var` of the batch norm, each (out,).
        epsilon: the batch norm's epsilon.
    """
    scale = norm["weight"].astype(np.float64) / np.sqrt(norm["running_var"].astype(np.float64) + epsilon)
    bias = norm["bias"] - norm["running_mean"] * scale
    return (weight * scale[:, None, None, None]).astype(np.float32), bias.astype(np.float32)


def frozen_layers(graph: Graph) -> Collection[str]:
    """Returns the names of the BigDL layers that are not trained."""
    trained = {name for name, parameter in graph.module.named_parameters() if parameter.requires_grad}
    return [layer.layer.name() for layer in graph.layers if layer.weight not in trained]


def _is_trained(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


def _layers() -> Any:
    """Imports BigDL's layers, which changes the environment; call `session.start_engine` first: it undoes that."""
    from bigdl.dllib.nn import layer

    return layer
