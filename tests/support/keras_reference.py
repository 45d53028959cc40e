"""An independent Keras: layer graphs as Keras writes them, and a forward pass straight from the raw arrays.

It shares nothing with the package but torch's functional operators.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

Layers = list[dict[str, Any]]
Arrays = dict[str, dict[str, np.ndarray]]


class Graph:
    """Writes down a network as Keras's `model.get_config()` does."""

    def __init__(self, side: int) -> None:
        self.layers: Layers = []
        self.last = self.add("InputLayer", "input_1", None, batch_input_shape=[None, side, side, 3])

    def add(self, kind: str, name: str, inputs: Any, **config: Any) -> str:
        inputs = [] if inputs is None else [inputs] if isinstance(inputs, str) else list(inputs)
        nodes = [[[i, 0, 0, {}] for i in inputs]] if inputs else []
        self.layers.append(
            {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}
        )
        self.last = name
        return name

    def conv(self, name: str, x: str, filters: int, kernel: int, stride: int = 1, padding: str = "same", bias=True):
        return self.add(
            "Conv2D",
            name,
            x,
            filters=filters,
            kernel_size=[kernel] * 2,
            strides=[stride] * 2,
            padding=padding,
            use_bias=bias,
        )

    def norm(self, name: str, x: str, epsilon: float) -> str:
        return self.add("BatchNormalization", name, x, epsilon=epsilon)

    def relu(self, name: str, x: str) -> str:
        return self.add("Activation", name, x, activation="relu")


def resnet50(*, caffe_names: bool, side: int = 64, classes: int = 1000, epsilon: float | None = None) -> Layers:
    """ResNet-50 v1 as keras-applications builds it, in its old or its new naming."""
    eps = epsilon or (1e-3 if caffe_names else 1.001e-5)
    g = Graph(side)
    x = g.add("ZeroPadding2D", "conv1_pad", g.last, padding=[[3, 3], [3, 3]])
    x = g.conv("conv1" if caffe_names else "conv1_conv", x, 64, 7, 2, "valid")
    x = g.norm("bn_conv1" if caffe_names else "conv1_bn", x, eps)
    x = g.relu("conv1_relu", x)
    x = g.add("ZeroPadding2D", "pool1_pad", x, padding=[[1, 1], [1, 1]])
    x = g.add("MaxPooling2D", "pool1_pool", x, pool_size=[3, 3], strides=[2, 2], padding="valid")
    for stage, (blocks, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), start=2):
        for b in range(blocks):
            stride = 2 if b == 0 and stage > 2 else 1

            def names(i: int, stage: int = stage, b: int = b) -> tuple[str, str]:
                if caffe_names:
                    tail = f"{stage}{'abcdef'[b]}_branch" + ("1" if i == 0 else f"2{'abc'[i - 1]}")
                    return f"res{tail}", f"bn{tail}"
                return f"conv{stage}_block{b + 1}_{i}_conv", f"conv{stage}_block{b + 1}_{i}_bn"

            y = x
            for i, (filters, kernel) in enumerate(((width, 1), (width, 3), (4 * width, 1)), start=1):
                conv, norm = names(i)
                y = g.norm(norm, g.conv(conv, y, filters, kernel, stride if i == 1 else 1), eps)
                if i < 3:
                    y = g.relu(f"{norm}_relu", y)
            if b == 0:
                conv, norm = names(0)
                x = g.norm(norm, g.conv(conv, x, 4 * width, 1, stride), eps)
            x = g.relu(f"out_{stage}_{b}", g.add("Add", f"add_{stage}_{b}", (x, y)))
    x = g.add("GlobalAveragePooling2D", "avg_pool", x)
    g.add("Dense", "fc1000" if caffe_names else "predictions", x, units=classes, activation="softmax")
    return g.layers


def densenet121(*, side: int = 64, classes: int = 14) -> Layers:
    """DenseNet-121 as keras-applications builds it (layer names with a slash in the stem), a sigmoid head on it."""
    eps = 1.001e-5
    g = Graph(side)
    x = g.add("ZeroPadding2D", "zero_padding2d_1", g.last, padding=[[3, 3], [3, 3]])
    x = g.relu("conv1/relu", g.norm("conv1/bn", g.conv("conv1/conv", x, 64, 7, 2, "valid", bias=False), eps))
    x = g.add("ZeroPadding2D", "zero_padding2d_2", x, padding=[[1, 1], [1, 1]])
    x = g.add("MaxPooling2D", "pool1", x, pool_size=[3, 3], strides=[2, 2], padding="valid")
    channels = 64
    for stage, layers in enumerate((6, 12, 24, 16), start=2):
        for i in range(1, layers + 1):
            name = f"conv{stage}_block{i}"
            y = g.relu(f"{name}_0_relu", g.norm(f"{name}_0_bn", x, eps))
            y = g.norm(f"{name}_1_bn", g.conv(f"{name}_1_conv", y, 128, 1, bias=False), eps)
            y = g.conv(f"{name}_2_conv", g.relu(f"{name}_1_relu", y), 32, 3, bias=False)
            x = g.add("Concatenate", f"{name}_concat", (x, y))
            channels += 32
        if stage < 5:
            x = g.relu(f"pool{stage}_relu", g.norm(f"pool{stage}_bn", x, eps))
            channels //= 2
            x = g.conv(f"pool{stage}_conv", x, channels, 1, bias=False)
            x = g.add("AveragePooling2D", f"pool{stage}_pool", x, pool_size=[2, 2], strides=[2, 2], padding="valid")
    x = g.relu("relu", g.norm("bn", x, eps))
    x = g.add("GlobalAveragePooling2D", "avg_pool", x)
    g.add("Dense", "predictions", x, units=classes, activation="sigmoid")
    return g.layers


def vgg16(*, classes: int = 10) -> Layers:
    """VGG-16 as keras-applications builds it; its dense layers fix the input at 224."""
    g = Graph(224)
    x = g.last
    for block, (convs, width) in enumerate(zip((2, 2, 3, 3, 3), (64, 128, 256, 512, 512), strict=True), start=1):
        for i in range(1, convs + 1):
            x = g.relu(f"block{block}_relu{i}", g.conv(f"block{block}_conv{i}", x, width, 3))
        x = g.add("MaxPooling2D", f"block{block}_pool", x, pool_size=[2, 2], strides=[2, 2], padding="valid")
    x = g.add("Flatten", "flatten", x)
    x = g.relu("fc1_relu", g.add("Dense", "fc1", x, units=4096, activation="linear"))
    x = g.relu("fc2_relu", g.add("Dense", "fc2", x, units=4096, activation="linear"))
    g.add("Dense", "predictions", x, units=classes, activation="softmax")
    return g.layers


def random_arrays(layers: Layers, seed: int) -> Arrays:
    """Draws weights with which activations keep their size, and no channel is like another."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {}
    arrays: Arrays = {}

    def normal(*shape: int, scale: float = 1.0, around: float = 0.0) -> np.ndarray:
        return (around + scale * rng.standard_normal(shape, dtype=np.float32)).astype(np.float32)

    for layer in layers:
        name, config, kind = layer["name"], layer["config"], layer["class_name"]
        inputs = _inputs(layer)
        channels = shapes[inputs[0]][0] if inputs else 3
        if kind == "Conv2D":
            size, out = config["kernel_size"][0], config["filters"]
            arrays[name] = {"kernel": normal(size, size, channels, out, scale=(2 / (size * size * channels)) ** 0.5)}
            if config["use_bias"]:
                arrays[name]["bias"] = normal(out, scale=0.3)
            channels = out
        elif kind == "BatchNormalization":
            arrays[name] = {
                "gamma": normal(channels, scale=0.1, around=0.7),
                "beta": normal(channels, scale=0.2),
                "moving_mean": normal(channels, scale=0.2),
                "moving_variance": rng.uniform(0.5, 2.0, channels).astype(np.float32),
            }
        elif kind == "Flatten":
            channels *= 49
        elif kind == "Dense":
            out = config["units"]
            arrays[name] = {"kernel": normal(channels, out, scale=(1 / channels) ** 0.5), "bias": normal(out)}
            channels = out
        elif kind == "Concatenate":
            channels = sum(shapes[i][0] for i in inputs)
        shapes[name] = (channels,)
    return arrays


def _inputs(layer: dict[str, Any]) -> list[str]:
    return [node[0] for node in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else []


@torch.inference_mode()
def logits(layers: Layers, arrays: Arrays, images: torch.Tensor) -> torch.Tensor:
    """Computes the outputs of the last dense layer before its softmax or sigmoid; images are (N, 3, H, W)."""
    values: dict[str, torch.Tensor] = {}
    for layer in layers:
        name, config = layer.get("name") or layer["config"]["name"], layer["config"]
        x = [values[i] for i in _inputs(layer)]
        w = {role: torch.from_numpy(np.array(a)).to(images.dtype) for role, a in arrays.get(name, {}).items()}
        values[name] = _apply(layer["class_name"], config, x, w, images)
    return values[name]


def _apply(kind: str, config: dict[str, Any], x: list[torch.Tensor], w: dict[str, torch.Tensor], images: torch.Tensor):
    if kind == "InputLayer":
        return images
    if kind == "ZeroPadding2D":
        (top, bottom), (left, right) = config["padding"]
        return F.pad(x[0], (left, right, top, bottom))
    if kind == "Conv2D":
        kernel = w["kernel"].permute(3, 2, 0, 1)
        padding = (kernel.shape[-1] - 1) // 2 if config["padding"] == "same" else 0
        assert padding == 0 or config["strides"] == [1, 1]  # "same" pads unevenly with a stride
        return F.conv2d(x[0], kernel, w.get("bias"), config["strides"], padding)
    if kind == "BatchNormalization":
        shape = (1, -1, 1, 1)
        scale = w["gamma"] / torch.sqrt(w["moving_variance"] + config["epsilon"])
        return (x[0] - w["moving_mean"].view(shape)) * scale.view(shape) + w["beta"].view(shape)
    if kind == "Activation":
        assert config["activation"] == "relu"
        return x[0].clamp(min=0)
    if kind == "MaxPooling2D":
        return F.max_pool2d(x[0], config["pool_size"], config["strides"])
    if kind == "AveragePooling2D":
        return F.avg_pool2d(x[0], config["pool_size"], config["strides"])
    if kind == "GlobalAveragePooling2D":
        return x[0].mean((2, 3))
    if kind == "Add":
        return x[0] + x[1]
    if kind == "Concatenate":
        return torch.cat(x, 1)
    if kind == "Flatten":  # height, width, channels
        return x[0].permute(0, 2, 3, 1).flatten(1)
    if kind == "Dense":
        return x[0] @ w["kernel"] + w["bias"]
    raise ValueError(kind)
