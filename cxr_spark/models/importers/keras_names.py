"""Where the weights of Keras's own networks belong in torchvision's, layer by layer.

Keras has named ResNet's layers in two ways: Caffe's (`res2a_branch2a`), and its own (`conv2_block1_1_conv`) since
keras-applications 1.0.8. The two also differ in the epsilon of their batch norms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["conv", "norm", "dense"]


@dataclass(frozen=True)
class Pair:
    """One layer and its twin.

    Attributes:
        torch: the dotted name in torchvision's network.
        keras: the name in Keras's network.
        kind: the kind of layer.
        norm: the torchvision batch norm behind a convolution, which takes up its bias; None for other layers.
        flattened: the (height, width, channels) in Keras of the map that a dense layer gets flattened; None for other
            layers.
    """

    torch: str
    keras: str
    kind: Kind
    norm: str | None = None
    flattened: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Naming:
    """One of Keras's ways to name a network's layers.

    Attributes:
        pairs: all layers with weights.
        epsilon: the epsilon of the batch norms in the network that has these names; None where it has none.
        rgb: whether the network takes normalised RGB (torchvision's way) rather than ImageNet-mean BGR.
        strided: Keras name of a 1x1 convolution which must have stride 2, if the network is the right one.
    """

    pairs: tuple[Pair, ...]
    epsilon: float | None
    rgb: bool = False
    strided: str | None = None


_RESNET50_BLOCKS = (3, 4, 6, 3)
_DENSENET121_BLOCKS = (6, 12, 24, 16)
#: torchvision's index of each of VGG-16's convolutions in `features`, by block.
_VGG16_BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))


def namings(architecture_name: str, layers: set[str]) -> list[Naming]:
    """Returns the ways in which Keras names a network's layers.

    Args:
        architecture_name: a key of `ARCHITECTURES`.
        layers: names of the layers in the file at hand: they decide what its classifier is called, if it has one.

    Returns:
        The ways; none for networks that cannot be imported from Keras.
    """
    head = next((name for name in ("fc1000", "predictions", "probs") if name in layers), None)
    if architecture_name == "resnet50_v1":
        tail = _head("fc", head)
        return [
            Naming((*_resnet(caffe=True), *tail), epsilon=1e-3, strided="res3a_branch2a"),
            Naming((*_resnet(caffe=False), *tail), epsilon=1.001e-5, strided="conv3_block1_1_conv"),
        ]
    if architecture_name == "densenet121":
        tail = _head("classifier", head)
        return [Naming((*_densenet(stem), *tail), epsilon=1.001e-5, rgb=True) for stem in ("conv1/{}", "conv1_{}")]
    if architecture_name == "vgg16":
        return [Naming((*_vgg(), *_head("classifier.6", head)), epsilon=None)]
    return []


def _head(classifier: str, keras: str | None) -> tuple[Pair, ...]:
    return (Pair(f"{classifier}.output", keras, "dense"),) if keras else ()


def _conv_and_norm(conv: str, norm: str, keras_conv: str, keras_norm: str) -> Iterator[Pair]:
    yield Pair(conv, keras_conv, "conv", norm=norm)
    yield Pair(norm, keras_norm, "norm")


def _resnet(caffe: bool) -> Iterator[Pair]:
    if caffe:
        yield from _conv_and_norm("conv1", "bn1", "conv1", "bn_conv1")
    else:
        yield from _conv_and_norm("conv1", "bn1", "conv1_conv", "conv1_bn")
    for stage, blocks in enumerate(_RESNET50_BLOCKS, start=1):
        for block in range(blocks):
            torch = f"layer{stage}.{block}"
            for i in (1, 2, 3):
                if caffe:
                    place = f"{stage + 1}{'abcdef'[block]}_branch2{'abc'[i - 1]}"
                    names = (f"res{place}", f"bn{place}")
                else:
                    place = f"conv{stage + 1}_block{block + 1}_{i}"
                    names = (f"{place}_conv", f"{place}_bn")
                yield from _conv_and_norm(f"{torch}.conv{i}", f"{torch}.bn{i}", *names)
            if block == 0:
                if caffe:
                    names = (f"res{stage + 1}a_branch1", f"bn{stage + 1}a_branch1")
                else:
                    names = (f"conv{stage + 1}_block1_0_conv", f"conv{stage + 1}_block1_0_bn")
                yield from _conv_and_norm(f"{torch}.downsample.0", f"{torch}.downsample.1", *names)


def _densenet(stem: str) -> Iterator[Pair]:
    yield from _conv_and_norm("features.conv0", "features.norm0", stem.format("conv"), stem.format("bn"))
    for stage, layers in enumerate(_DENSENET121_BLOCKS, start=1):
        for i in range(1, layers + 1):
            torch, keras = f"features.denseblock{stage}.denselayer{i}", f"conv{stage + 1}_block{i}"
            yield Pair(f"{torch}.norm1", f"{keras}_0_bn", "norm")
            yield from _conv_and_norm(f"{torch}.conv1", f"{torch}.norm2", f"{keras}_1_conv", f"{keras}_1_bn")
            yield Pair(f"{torch}.conv2", f"{keras}_2_conv", "conv")
        if stage < len(_DENSENET121_BLOCKS):
            torch, keras = f"features.transition{stage}", f"pool{stage + 1}"
            yield Pair(f"{torch}.norm", f"{keras}_bn", "norm")
            yield Pair(f"{torch}.conv", f"{keras}_conv", "conv")
    yield Pair("features.norm5", "bn", "norm")


def _vgg() -> Iterator[Pair]:
    for block, indices in enumerate(_VGG16_BLOCKS, start=1):
        for i, index in enumerate(indices, start=1):
            yield Pair(f"features.{index}", f"block{block}_conv{i}", "conv")
    yield Pair("classifier.0", "fc1", "dense", flattened=(7, 7, 512))
    yield Pair("classifier.3", "fc2", "dense")
